//! Forecast, schedule, cancel, journal and explain; knows no backend by name.
