//! The protocol, against everything that could come over a line: bounded, total, and true to what was sent.

use imgc_agent::protocol::{Failure, FileKind, Frame, HEADER, MAX_PAYLOAD, Parser, Put, Reply, Request, Run, Size};
use proptest::collection::vec;
use proptest::prelude::*;

fn frames(parser: &mut Parser) -> Vec<Frame> {
    std::iter::from_fn(|| parser.next()).collect()
}

fn size() -> impl Strategy<Value = Size> {
    (any::<u16>(), any::<u16>()).prop_map(|(columns, rows)| Size { columns, rows })
}

fn request() -> impl Strategy<Value = Request> {
    let text = ".{0,20}";
    let env = vec((text, text), 0..4);
    let run = (vec(text, 0..5), any::<Option<u32>>(), env, text, text, any::<bool>(), proptest::option::of(size()));
    let kind = prop_oneof![Just(FileKind::File), Just(FileKind::Directory), text.prop_map(FileKind::Link)];
    prop_oneof![
        (any::<u64>(), any::<u32>()).prop_map(|(nonce, version)| Request::Hello { nonce, version }),
        run.prop_map(|(argv, script, env, user, workdir, network, terminal)| {
            Request::Run(Run { argv, script, env, user, workdir, network, terminal })
        }),
        vec(any::<u8>(), 0..2000).prop_map(Request::Input),
        Just(Request::InputEnd),
        any::<i32>().prop_map(Request::Signal),
        size().prop_map(Request::Resize),
        (text, kind, any::<u32>(), text, proptest::option::of(text))
            .prop_map(|(path, kind, mode, user, group)| Request::Put(Put { path, kind, mode, user, group })),
        text.prop_map(|path| Request::Get { path }),
        Just(Request::Abort),
        any::<u64>().prop_map(|nanoseconds| Request::Clock { nanoseconds }),
        vec(any::<u8>(), 0..100).prop_map(Request::Reseed),
        Just(Request::Sync),
        any::<u32>().prop_map(|limit_milliseconds| Request::Freeze { limit_milliseconds }),
        Just(Request::Thaw),
        Just(Request::Ping),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let failure = prop_oneof![Just(Failure::Asked), Just(Failure::Space), Just(Failure::Other)];
    prop_oneof![
        (any::<u64>(), any::<u32>(), ".{0,40}").prop_map(|(nonce, version, boot_id)| Reply::Welcome {
            nonce,
            version,
            boot_id
        }),
        vec(any::<u8>(), 0..2000).prop_map(Reply::Stdout),
        vec(any::<u8>(), 0..2000).prop_map(Reply::Stderr),
        any::<u32>().prop_map(Reply::Taken),
        any::<i32>().prop_map(Reply::Exited),
        any::<i32>().prop_map(Reply::Killed),
        Just(Reply::Done),
        (failure, ".{0,40}").prop_map(|(failure, message)| Reply::Failed { failure, message }),
        (any::<u64>(), any::<u32>()).prop_map(|(size, mode)| Reply::Found { size, mode }),
        vec(any::<u8>(), 0..2000).prop_map(Reply::Data),
        vec(".{0,20}", 0..5).prop_map(Reply::Frozen),
        Just(Reply::Pong),
        Just(Reply::Bye),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn messages_come_back_as_they_were(request in request(), reply in reply(), stream in any::<u32>()) {
        prop_assert_eq!(Request::parse(&request.frame(stream)), Some(request));
        prop_assert_eq!(Reply::parse(&reply.frame(stream)), Some(reply));
    }

    /// However the bytes are cut into pieces, and whatever rubbish stands before them.
    #[test]
    fn frames_come_back_whole(
        requests in vec(request(), 1..6),
        rubbish in vec(any::<u8>(), 0..200),
        pieces in vec(1_usize..300, 1..50),
    ) {
        let sent: Vec<Frame> = requests.iter().map(|request| request.frame(7)).collect();
        // A mark at the end of the rubbish could begin a header that swallows the next frame's first bytes.
        let mut bytes: Vec<u8> = rubbish.into_iter().filter(|byte| *byte != 0xa7).collect();
        bytes.extend(sent.iter().flat_map(Frame::encode));
        let mut parser = Parser::default();
        let mut got = Vec::new();
        let mut rest = bytes.as_slice();
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
            parser.push(piece);
            got.extend(frames(&mut parser));
            rest = after;
        }
        prop_assert_eq!(got, sent);
        prop_assert_eq!(parser.held(), 0);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in vec(any::<u8>(), 0..4000), kind in any::<u8>()) {
        let mut parser = Parser::default();
        parser.push(&bytes);
        for frame in frames(&mut parser) {
            let _ = (Request::parse(&frame), Reply::parse(&frame));
        }
        prop_assert!(parser.held() <= HEADER + MAX_PAYLOAD);
        let frame = Frame { kind, stream: 0, payload: bytes };
        // What is understood says the same when it is said again.
        if let Some(request) = Request::parse(&frame) {
            prop_assert_eq!(Request::parse(&request.frame(0)), Some(request));
        }
        if let Some(reply) = Reply::parse(&frame) {
            prop_assert_eq!(Reply::parse(&reply.frame(0)), Some(reply));
        }
    }
}

/// One byte wrong, anywhere: the frames around it arrive, and none arrives that was not sent.
#[test]
fn mutated_streams_give_only_frames_that_were_sent() {
    let run = Run { argv: vec!["sh".into()], user: "root".into(), workdir: "/".into(), ..Run::default() };
    let requests = [Request::Run(run), Request::Input(vec![0xa7; 300]), Request::Ping, Request::Input(b"end".to_vec())];
    let sent: Vec<Frame> = (1..).zip(&requests).map(|(stream, request)| request.frame(stream)).collect();
    let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 8).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut mutated = bytes.clone();
        let at = next(mutated.len());
        match next(3) {
            0 => mutated[at] ^= u8::try_from(1 + next(255)).unwrap(),
            1 => drop(mutated.remove(at)),
            _ => mutated.insert(at, u8::try_from(next(256)).unwrap()),
        }
        let mut parser = Parser::default();
        parser.push(&mutated);
        let mut got = frames(&mut parser);
        if parser.held() > 0 {
            // A length that grew swallows what follows; filler, as a new client sends it, brings everything out.
            parser.push(&vec![0; MAX_PAYLOAD]);
            got.extend(frames(&mut parser));
        }
        assert!(got.iter().all(|frame| sent.contains(frame)), "a frame that was not sent, after a change at {at}");
        parser.push(&sent[2].encode());
        assert_eq!(frames(&mut parser).last(), Some(&sent[2]), "understood again after a change at {at}");
    }
}

/// Headers that promise the most, again and again, cost no more than the bytes that they are.
#[test]
fn promises_cost_nothing() {
    let whole = Frame { kind: 3, stream: 0, payload: vec![1; MAX_PAYLOAD] }.encode();
    let mut parser = Parser::default();
    for _ in 0..50_000 {
        parser.push(&whole[..HEADER]);
        assert_eq!(parser.next(), None);
        assert!(parser.held() <= HEADER + MAX_PAYLOAD);
    }
}
