//! Splayds that are not as they should be, and what they are told.

mod harness;

use std::time::Duration;

use harness::splayd::{Identity, hear, say};
use harness::{Controller, FakeSplayd, Life, config, job, until};
use hyper::Method;
use serde_bytes::ByteBuf;
use serde_json::json;
use splay_protocol::session::*;
use tokio_tungstenite::tungstenite::Message;

async fn refused(identity: &Identity, make: impl FnOnce(&Identity, &[u8]) -> ToController) -> RefusedCode {
    let (mut socket, nonce) = identity.dial().await.unwrap();
    say(&mut socket, &make(identity, &nonce)).await.unwrap();
    match hear(&mut socket).await {
        Some(ToSplayd::Refused(refused)) => refused.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_a_token_and_their_key_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let join = controller.join(1).await;
    let one = Identity::new("one", 1, &join);
    // Not enrolled; a token that is wrong; a signature that is not for this nonce, or of another key.
    assert_eq!(
        refused(&one, |own, nonce| ToController::Hello(own.hello(nonce, vec![], "a"))).await,
        RefusedCode::Key
    );
    let mut wrong = Identity::new("one", 1, &join);
    wrong.token.secret = "guess".to_owned();
    assert_eq!(
        refused(&wrong, |own, nonce| own.enrol(own.hello(nonce, vec![], "a"))).await,
        RefusedCode::Token
    );
    assert_eq!(
        refused(&one, |own, _| own.enrol(own.hello(b"another nonce", vec![], "a"))).await,
        RefusedCode::Key
    );
    let forged = |own: &Identity, nonce: &[u8]| {
        let other = Identity::new("x", 1, &join);
        own.enrol(Hello { key: other.hello(nonce, vec![], "a").key, ..own.hello(nonce, vec![], "a") })
    };
    assert_eq!(refused(&one, forged).await, RefusedCode::Key);
    // Signed for another certificate: somebody in between.
    let passed_on = |own: &Identity, nonce: &[u8]| {
        let signature = own.key.sign(&signed_text(nonce, &[7; 32]));
        own.enrol(Hello { signature: ByteBuf::from(signature.as_ref()), ..own.hello(nonce, vec![], "a") })
    };
    assert_eq!(refused(&one, passed_on).await, RefusedCode::Key);
    let later =
        |own: &Identity, nonce: &[u8]| own.enrol(Hello { version: 2, ..own.hello(nonce, vec![], "a") });
    assert_eq!(refused(&one, later).await, RefusedCode::Version);
    // The token is good once; who has enrolled comes back without it, and even with it.
    let (mut socket, nonce) = one.dial().await.unwrap();
    say(&mut socket, &one.enrol(one.hello(&nonce, vec![], "a"))).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Some(ToSplayd::Welcome(_))));
    let two = Identity::new("two", 1, &join);
    assert_eq!(
        refused(&two, |own, nonce| own.enrol(own.hello(nonce, vec![], "a"))).await,
        RefusedCode::Token
    );
    let (mut second, nonce) = one.dial().await.unwrap();
    say(&mut second, &one.enrol(one.hello(&nonce, vec![], "a"))).await.unwrap();
    assert!(matches!(hear(&mut second).await, Some(ToSplayd::Welcome(_))));
    // The first session hears that it was replaced.
    let replaced = hear(&mut socket).await;
    assert!(
        matches!(&replaced, Some(ToSplayd::Refused(Refused { code: RefusedCode::Replaced, .. }))),
        "{replaced:?}"
    );
    // Revoked: cut, and not let in again.
    let id = controller.client.get("/splayds").await[0]["id"].as_str().unwrap().to_owned();
    controller.client.post(&format!("/splayds/{id}/revoke"), json!({})).await;
    assert!(matches!(
        hear(&mut second).await,
        Some(ToSplayd::Refused(Refused { code: RefusedCode::Key, .. }))
    ));
    assert_eq!(
        refused(&one, |own, nonce| ToController::Hello(own.hello(nonce, vec![], "a"))).await,
        RefusedCode::Key
    );
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_breaks_the_protocol_is_cut_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let _good = controller.splayds(2, 2, Life::of(Duration::from_millis(300))).await;
    let join = controller.join(10).await;
    let report = |sequence, event| ToController::Report(Report { sequence, at_us: 1, event });
    let done = || Event::Done(JobReady { job: "nobody's".into() });
    let bad: Vec<Vec<u8>> = vec![
        b"nonsense".to_vec(),
        vec![b'l'; 100],
        vec![b'x'; MAX_MESSAGE_BYTES + 10],
        // A gap in the reports.
        encode(&report(5, done())),
        // A file that belongs to no job it hosts is passed over; a second greeting is not.
        encode(&Identity::new("x", 1, &join).enrol(Identity::new("x", 1, &join).hello(b"", vec![], "a"))),
    ];
    for (number, bytes) in bad.into_iter().enumerate() {
        let splayd = Identity::new(&format!("bad-{number}"), 0, &join);
        let (mut socket, nonce) = splayd.dial().await.unwrap();
        say(&mut socket, &splayd.enrol(splayd.hello(&nonce, vec![], "a"))).await.unwrap();
        assert!(matches!(hear(&mut socket).await, Some(ToSplayd::Welcome(_))));
        use futures_util::SinkExt as _;
        let _ = socket.send(Message::Binary(bytes.into())).await;
        // Cut: told why, unless the connection broke under an oversized message first.
        match tokio::time::timeout(Duration::from_secs(20), hear(&mut socket)).await.expect("cut in time") {
            Some(ToSplayd::Refused(refused)) => {
                assert_eq!(refused.code, RefusedCode::Protocol, "{number}: {refused:?}")
            }
            None => assert_eq!(number, 2),
            other => panic!("{number}: {other:?}"),
        }
    }
    // What a later version says is passed over.
    let splayd = Identity::new("later", 0, &join);
    let (mut socket, nonce) = splayd.dial().await.unwrap();
    say(&mut socket, &splayd.enrol(splayd.hello(&nonce, vec![], "a"))).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Some(ToSplayd::Welcome(_))));
    use futures_util::SinkExt as _;
    socket.send(Message::Binary(b"d6:dancedd1:xi1eee".to_vec().into())).await.unwrap();
    say(&mut socket, &ToController::Probe(Probe { sent_us: 9 })).await.unwrap();
    let reply = hear(&mut socket).await;
    assert!(matches!(&reply, Some(ToSplayd::ProbeReply(ProbeReply { sent_us: 9, .. }))), "{reply:?}");
    // And a report of such a kind counts: the next one is no gap.
    let later = b"d6:reportd5:at_usi5e5:eventd6:dancedd1:xi1eee8:sequencei1eee";
    socket.send(Message::Binary(later.to_vec().into())).await.unwrap();
    assert_eq!(hear(&mut socket).await, Some(ToSplayd::Ack(Ack { sequence: 1 })));
    // A report about a job it has no part in changes nothing, and is acknowledged.
    let id = controller.client.submit(job(2, json!({}))).await;
    controller.job_is(&id, "running").await;
    say(&mut socket, &report(2, Event::Done(JobReady { job: id.clone() }))).await.unwrap();
    assert_eq!(hear(&mut socket).await, Some(ToSplayd::Ack(Ack { sequence: 2 })));
    assert_eq!(controller.job_is(&id, "ended").await["finished"], 2);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_splayd_is_replaced_and_limits_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let splayds = controller.splayds(3, 1, Life::of(Duration::from_millis(200))).await;
    splayds[0].machine.lock().unwrap().mute = true;
    let mandatory = json!({ "factor": 1.0, "mandatory": ["node-2"] });
    let id = controller.client.submit(job(2, mandatory)).await;
    let done = controller.job_is(&id, "ended").await;
    let names: Vec<&str> = done["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["splayd_name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"node-2") && names.contains(&"node-3"), "{names:?}");
    // Labels set by an administrator count.
    let id = controller.client.get("/splayds").await[2]["id"].as_str().unwrap().to_owned();
    controller
        .client
        .send(Method::PATCH, &format!("/splayds/{id}"), Some(json!({ "labels": { "rack": "3" } })))
        .await;
    let id = controller.client.submit(job(2, json!({ "filters": { "labels": ["rack=3"] } }))).await;
    let why = controller.job_is(&id, "refused").await["why"].clone();
    assert_eq!(why, "1 of 3 splayds match; 1 more needed: 2 lack the label rack=3");
    // The blacklist reaches those who are there.
    controller.client.send(Method::PUT, "/blacklist", Some(json!({ "hosts": ["10.*"] }))).await;
    assert_eq!(controller.client.get("/blacklist").await["hosts"][0], "10.*");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_killed_and_its_events_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let _splayds: Vec<FakeSplayd> = controller.splayds(2, 3, Life::forever()).await;
    let id = controller.client.submit(job(4, json!({}))).await;
    let follower = controller.client.clone();
    let path = format!("/jobs/{id}/events");
    let events = tokio::spawn(async move { follower.send(Method::GET, &path, None).await.text() });
    controller.job_is(&id, "running").await;
    until("all run", async || controller.client.get(&format!("/jobs/{id}")).await["running"] == 4).await;
    controller.client.post(&format!("/jobs/{id}/kill"), json!({ "reason": "enough" })).await;
    let done = controller.job_is(&id, "killed").await;
    assert_eq!(done["why"], "killed by admin: enough");
    // The stream ends with the job, and has everything once.
    let text = events.await.unwrap();
    let data: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = data.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(data.iter().filter(|event| event["kind"] == "started").count(), 4);
    assert_eq!(data.last().unwrap()["state"], "killed");
    // From where a reader was cut.
    let headers = [("last-event-id", "3")];
    let rest = controller
        .client
        .send_bytes(Method::GET, &format!("/jobs/{id}/events"), &headers, vec![])
        .await
        .text();
    assert!(rest.starts_with("id: 4\n"), "{rest}");
    controller.stop().await;
}
