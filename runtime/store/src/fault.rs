//! Fail points: named places in the life of a run at which tests stop the process, hold it up, or only see it pass.
//!
//! They exist in builds with debug assertions only; in others [`fail_point!`](crate::fail_point) is nothing at all. Every
//! one is on the way of a state transition that a crash can cut in two, and has a name that is used once.
//!
//! - `IMGC_FAULT_TRACE=FILE`: each place that is reached is appended to the file (or pipe) as a line `PID NAME`.
//! - `IMGC_FAULT_AT=NAME#N=ACTION`: at the Nth time that a process reaches NAME it does the ACTION: `kill` ends it as
//!   `kill -9` would, `sleep:MS` holds it up.

/// A place where tests may end this process. Nothing in builds without debug assertions.
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::fault::reached($name);
    };
}

#[cfg(debug_assertions)]
pub use points::reached;

#[cfg(debug_assertions)]
mod points {
    use std::fs::File;
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// What the environment asks for.
    struct Faults {
        /// Opened at the first place: the first process of a step cannot see the path any more once it has its root.
        trace: Option<File>,
        at: Option<At>,
    }

    struct At {
        name: String,
        /// How often the place is still passed.
        left: AtomicU64,
        action: Action,
    }

    enum Action {
        Kill,
        Sleep(Duration),
    }

    impl Faults {
        fn of_environment() -> Option<Self> {
            let trace = std::env::var_os("IMGC_FAULT_TRACE")
                .and_then(|path| std::fs::OpenOptions::new().append(true).open(path).ok());
            let at = std::env::var("IMGC_FAULT_AT").ok().and_then(|text| At::parse(&text));
            (trace.is_some() || at.is_some()).then_some(Self { trace, at })
        }
    }

    impl At {
        fn parse(text: &str) -> Option<Self> {
            let (name, rest) = text.split_once('#')?;
            let (count, action) = rest.split_once('=')?;
            let action = match action.split_once(':') {
                None if action == "kill" => Action::Kill,
                Some(("sleep", millis)) => Action::Sleep(Duration::from_millis(millis.parse().ok()?)),
                None | Some(_) => return None,
            };
            Some(Self { name: name.to_owned(), left: AtomicU64::new(count.parse().ok()?), action })
        }
    }

    /// This process is at the place `name`; called by [`fail_point!`](crate::fail_point) only.
    pub fn reached(name: &str) {
        static FAULTS: OnceLock<Option<Faults>> = OnceLock::new();
        let Some(faults) = FAULTS.get_or_init(Faults::of_environment) else { return };
        if let Some(mut trace) = faults.trace.as_ref() {
            // One write, which pipes keep whole.
            let _ = trace.write_all(format!("{} {name}\n", std::process::id()).as_bytes());
        }
        let Some(at) = faults.at.as_ref().filter(|at| at.name == name) else { return };
        if at.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        match at.action {
            Action::Sleep(time) => std::thread::sleep(time),
            Action::Kill => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                // The signal is on its way; nothing may happen before it arrives.
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }
}
