//! OCI layout, archive and registry.
