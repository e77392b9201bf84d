//! The language server: the protocol on one side, the compiler's questions on the other. The only crate that knows LSP.
//!
//! One thread owns the state and applies notifications in order ([`serve`]). Requests are answered by a pool from an
//! immutable snapshot of their package. Of builds, stores and backends it knows nothing; what else the program around
//! it knows enters by [`Host`].

mod client;
mod disk;
mod dispatch;
mod documents;
mod handlers;
mod host;
mod lines;
mod offered;
mod pool;
mod refresh;
mod requests;
mod root;
mod server;
mod snapshot;
mod uri;
mod watch;
mod wire;
mod workspace;
mod world;

use std::io::{self, Read, Write};
use std::sync::Arc;

use gen_lsp_types as lsp;

pub use host::{Alone, Host};
pub use lsp_server::Connection;
pub use server::{Ended, serve};

/// Serves the client at the other end of two streams until it says goodbye or is gone.
///
/// # Errors
/// The system gives no thread, or the client does not take what is said.
pub fn serve_streams(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    host: Arc<dyn Host>,
) -> io::Result<Ended> {
    let (connection, threads) = wire::connect(input, output)?;
    let ended = serve(&connection, host)?;
    drop(connection);
    // A client that is gone takes nothing more, which is no fault of ours.
    match threads.join() {
        Err(error) if ended == Ended::Asked => Err(error),
        Err(_) | Ok(()) => Ok(ended),
    }
}
