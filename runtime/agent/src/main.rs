//! The agent as a program: `agent DIRECTORY PORT-NAME` serves a virtio-serial port in the background, `agent DIRECTORY -`
//! the socket that is its standard input.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let mut args = std::env::args_os().skip(1);
    let (Some(directory), Some(name)) = (args.next(), args.next()) else { return ExitCode::from(2) };
    let directory = std::path::Path::new(&directory);
    if name == "-" {
        let socket = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned();
        let served = socket.and_then(|socket| imgc_agent::serve(socket, directory));
        return if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let started = imgc_agent::find_port(&name.to_string_lossy())
        .and_then(|port| imgc_agent::detach().map(|()| port))
        .and_then(|port| imgc_agent::serve(port, directory));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever starts it by SSH reads this; once detached there is nobody to tell.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("agent: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
