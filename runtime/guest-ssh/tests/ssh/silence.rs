//! A server that falls silent without a word: a network that goes, a machine that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use imgc_backend::BackendError;
use imgc_guest_ssh::{Endpoint, connect_within};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bed::{Bed, script, sh};

/// Goes between a client and a server, until it holds back whatever comes; the connections stay open.
async fn between(listener: TcpListener, port: u16, silent: Arc<AtomicBool>) {
    let (client, _) = listener.accept().await.unwrap();
    let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(pass(from_client, to_server, &silent), pass(from_server, to_client, &silent));
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, silent: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        to.write_all(buffer.get(..length).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_lost_and_one_that_has_nothing_to_say_is_not() {
    let Some(bed) = Bed::new("") else { return };
    // Whoever goes between finds the server up.
    drop(bed.root().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alive = Duration::from_millis(500);
    let endpoint = Endpoint { alive, ..Endpoint::new("127.0.0.1", listener.local_addr().unwrap().port()) };
    let silent = Arc::new(AtomicBool::new(false));
    let proxy = between(listener, bed.endpoint.port, Arc::clone(&silent));
    let login = bed.by_key("root");
    let talk = async {
        let mut client = connect_within(&login, &endpoint, &bed.keys, Duration::from_secs(20), &bed.cx).await.unwrap();
        // Longer than three questions take: each is answered.
        assert_eq!(sh(&mut client, "sleep 4; echo on", &bed.cx).await, "on\n");
        let said = |_, bytes: &[u8]| {
            if bytes.starts_with(b"began") {
                silent.store(true, Ordering::SeqCst);
            }
        };
        let exec = script("echo began; sleep 600");
        let result = imgc_backend::Channel::exec(&mut client, &exec, &said, &bed.cx).await;
        assert!(silent.load(Ordering::SeqCst), "the step never began: {result:?}");
        assert!(matches!(result, Err(BackendError::Disconnected { .. })), "{result:?}");
        assert!(client.is_lost());
    };
    tokio::select! {
        () = talk => {}
        () = proxy => panic!("the connection was closed"),
        () = tokio::time::sleep(Duration::from_secs(300)) => panic!("the silence is not noticed"),
    }
}
