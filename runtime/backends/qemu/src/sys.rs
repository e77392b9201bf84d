//! The few system calls that have no safe wrapper. Everything unsafe of this crate is in here.

#![expect(unsafe_code, reason = "what happens between fork and exec has no safe form; the block says why it holds")]

/// Has the program killed when the thread that starts it ends; for the keeper, which has one thread only.
pub(crate) fn die_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let ask = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(ask) };
}
