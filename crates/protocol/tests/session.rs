//! Session messages: golden bytes, what is refused, and that any message comes back as it was.

use proptest::prelude::*;
use serde_bytes::ByteBuf;
use splay_protocol::session::*;
use splay_protocol::{Limits, ListType, Node};

fn text<T: serde::Serialize>(message: &T) -> String {
    String::from_utf8(encode(message)).expect("plain text here")
}

#[test]
fn orders_are_golden() {
    let start = ToSplayd::Start(StartOrder { job: "j1".into(), at_us: 1_000_001, positions: vec![] });
    assert_eq!(text(&start), "d5:startd5:at_usi1000001e3:job2:j1ee");
    let nodes = ToSplayd::Nodes(JobNodes {
        job: "j1".into(),
        nodes: vec![Node { ip: "10.0.0.1".into(), port: 22000 }],
        packed: ByteBuf::new(),
        positions: vec![(4, 1)],
        list_type: ListType::Random,
        list_size: 0,
    });
    assert_eq!(
        text(&nodes),
        "d5:nodesd3:job2:j19:list_sizei0e9:list_type6:random5:nodesld2:ip8:10.0.0.14:porti22000eee\
         9:positionslli4ei1eeeee"
    );
    let refused = ToSplayd::Refused(Refused { code: RefusedCode::Token, reason: "used up".into() });
    assert_eq!(text(&refused), "d7:refusedd4:code5:token6:reason7:used upee");
}

#[test]
fn a_job_order_is_golden() {
    let order = JobOrder {
        job: "j1".into(),
        name: "n".into(),
        seats: vec![Seat { seat: 1 }],
        app: "a.lua".into(),
        files: vec![],
        arguments: vec![],
        environment: Default::default(),
        limits: Limits::default(),
        seed: "7".into(),
        max_seconds: 9,
        grace_ms: 5000,
        churn: 1,
        topology: Some(TopologyOrder { path: ".topology".into(), shuffled: 1 }),
    };
    let written = text(&ToSplayd::Deploy(order.clone()));
    assert!(
        written.starts_with("d6:deployd3:app5:a.lua5:churni1e5:filesle8:grace_msi5000e3:job2:j16:limitsd"),
        "{written}"
    );
    let topology = "8:topologyd4:path9:.topology8:shuffledi1ee";
    let end = format!("11:max_secondsi9e4:name1:n5:seatsld4:seati1eee4:seed1:7{topology}ee");
    assert!(written.ends_with(&end), "{written}");
    // As the first version wrote it.
    let later = ["5:churni1e", "8:grace_msi5000e", topology]
        .into_iter()
        .chain(["28:job_receive_bytes_per_secondi0e", "25:job_send_bytes_per_secondi0e"]);
    let before = later.fold(written, |text, field| text.replace(field, ""));
    let read: ToSplayd = decode(before.as_bytes()).unwrap();
    assert_eq!(read, ToSplayd::Deploy(JobOrder { grace_ms: 0, churn: 0, topology: None, ..order }));
}

#[test]
fn who_is_there_is_golden() {
    let live = LiveNodes::new("j1".into(), 3, [1, 2, 3, 7]);
    assert_eq!(text(&ToSplayd::Live(live)), "d4:lived3:job2:j16:numberi3e2:uplli1ei3eeli7ei7eeeee");
    // What no honest controller says does no harm.
    let odd = LiveNodes { job: "j1".into(), number: 1, up: vec![(0, 2), (9, 4), (5, u32::MAX)] };
    assert_eq!(odd.positions(6), [1, 2, 5, 6]);
}

#[test]
fn reports_are_golden() {
    let report = ToController::Report(Report {
        sequence: 7,
        at_us: 5,
        event: Event::Done(JobReady { job: "j1".into() }),
    });
    assert_eq!(text(&report), "d6:reportd5:at_usi5e5:eventd4:doned3:job2:j1ee8:sequencei7eee");
}

#[test]
fn everything_a_hello_says_comes_back() {
    let hello = Hello {
        reports: 12,
        version: VERSION,
        key: ByteBuf::from(vec![0xff; 32]),
        signature: ByteBuf::from(vec![0; 64]),
        info: SplaydInfo {
            name: "node-1".into(),
            labels: [("rack".to_owned(), "3".to_owned())].into(),
            ports: (22000, 32000),
            place: Some((-46_993_100, 6_930_000)),
            maxima: Limits::default(),
            ..SplaydInfo::default()
        },
        jobs: vec![HostedJob { job: "j1".into(), phase: Phase::Running, last_step: 9 }],
        incarnation: "a1".into(),
    };
    let message = ToController::Enrol(Enrol { token: "t".into(), secret: "s".into(), hello });
    let back: ToController = decode(&encode(&message)).unwrap();
    assert_eq!(back, message);
}

#[test]
fn a_later_version_may_say_more() {
    let told: ToSplayd = decode(b"d3:ackd5:extrad1:ai1ee8:sequencei3eee").unwrap();
    assert_eq!(told, ToSplayd::Ack(Ack { sequence: 3 }));
    // A variant this version does not know is an error that names it, not a broken session.
    let error = decode::<ToSplayd>(b"d6:dancedd1:xi1eee").unwrap_err();
    assert!(matches!(&error, DecodeError::Message(inner) if inner.to_string().contains("danced")), "{error}");
}

#[test]
fn hostile_bytes_are_refused_before_they_are_read() {
    let deep = [b"d3:ackd5:extra".to_vec(), vec![b'l'; 1_000_000]].concat();
    assert!(matches!(decode::<ToSplayd>(&deep), Err(DecodeError::Shape(_))));
    assert!(matches!(decode::<ToSplayd>(&vec![b'l'; MAX_MESSAGE_BYTES + 1]), Err(DecodeError::TooLong(_))));
    for bytes in [
        &b"99999999:"[..],
        b"d",
        b"",
        b"i",
        b"d3:ackd8:sequencei3eeei1e",
        b"-1:a",
        b"i99999999999999999999999999e",
    ] {
        assert!(decode::<ToSplayd>(bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<ToSplayd>(&bytes);
        let _ = decode::<ToController>(&bytes);
    }

    #[test]
    fn broken_messages_do_no_harm(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&ToController::Status(Status::default()));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode::<ToController>(&bytes);
    }

    #[test]
    fn positions_come_back(positions in prop::collection::btree_set(1u32..5000, 0..200)) {
        let positions: Vec<u32> = positions.into_iter().collect();
        let live = LiveNodes::new("j".into(), 0, positions.iter().copied());
        prop_assert!(live.up.len() <= positions.len());
        prop_assert_eq!(live.positions(5000), positions);
    }

    #[test]
    fn logs_come_back(data in prop::collection::vec(any::<u8>(), 0..300), sequence in 0..=i64::MAX as u64) {
        let batch = LogBatch { job: "j".into(), lines: 3, first_us: 1, last_us: 2, data: ByteBuf::from(data) };
        let message = ToController::Report(Report { sequence, at_us: 0, event: Event::Logs(batch) });
        prop_assert_eq!(decode::<ToController>(&encode(&message)).unwrap(), message);
    }
}
