//! The same requests to Debian's etcd and to ours: the same answers, byte for byte, but for what
//! differs between any two servers.

mod support;

use std::time::Duration;

use support::{Reply, ask, begin, ours, real};

/// Fields of a head that clients look at.
const FIELDS: &[&str] = &[
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "content-type",
    "location",
    "x-content-type-options",
    "x-etcd-index",
    "x-raft-term",
];

/// The values of names that differ: a mark in their place.
fn without(body: &str, names: &[&str]) -> String {
    let mut body = body.to_owned();
    for name in names {
        let start = format!("\"{name}\":");
        let mut from = 0;
        while let Some(found) = body[from..].find(&start) {
            let value = from + found + start.len();
            let end = match body[value..].starts_with('"') {
                true => value + 1 + body[value + 1..].find('"').unwrap() + 1,
                false => value + body[value..].find([',', '}']).unwrap(),
            };
            body.replace_range(value..end, "*");
            from = value;
        }
    }
    body
}

/// What must be equal.
fn essence(reply: &Reply, address: &str) -> String {
    let mut told = format!("{}\n", reply.status);
    for name in FIELDS {
        if let Some(value) = reply.fields.get(*name) {
            told += &format!("{name}: {value}\n");
        }
    }
    for name in ["x-etcd-cluster-id", "x-raft-index", "date"] {
        told += &format!("{name}: {}\n", reply.fields.contains_key(name));
    }
    let differing = ["expiration", "startTime", "uptime", "id", "leader", "peerURLs"];
    let body = without(&reply.body.replace(address, "ADDRESS"), &differing);
    told + "\n" + &body
}

/// One request a line: method, target, body.
const SCRIPT: &str = r#"
GET /v2/keys
GET /v2/keys/
GET /v2/keys/none
GET /v2/keys/none/deeper
HEAD /v2/keys/none
PUT /v2/keys/message value=Hello+world
GET /v2/keys/message
HEAD /v2/keys/message
GET /v2/keys/message/
GET /v2/keys/message/below
PUT /v2/keys/message value=Hello+etcd
PUT /v2/keys/message value=
GET /v2/keys/message
PUT /v2/keys/message
PUT /v2/keys/message?value=query
PUT /v2/keys/message?value=query value=body
PUT /v2/keys/json application/json|{"value":1}
PUT /v2/keys/json text/plain|value=1
PUT /v2/keys/form application/x-www-form-urlencoded;charset=utf-8|value=1
DELETE /v2/keys/message
DELETE /v2/keys/message
PUT /v2/keys/odd value=%3Ca%26b%3E%22%5C%0A%09%0D%01%7F%C3%BC%E2%80%A8
GET /v2/keys/odd
PUT /v2/keys/bytes value=a%FF%E2%80b
PUT /v2/keys/bytes?prevValue=a%FF%E2%80b value=new
PUT /v2/keys/k%20e%2Fy%3F value=1
GET /v2/keys/k%20e?recursive=true
PUT /v2/keys/ttl value=1&ttl=100
GET /v2/keys/ttl
PUT /v2/keys/ttl value=2&ttl=
PUT /v2/keys/ttl value=2&ttl=0
PUT /v2/keys/ttl value=2&ttl=-1
PUT /v2/keys/ttl value=2&ttl=x
PUT /v2/keys/ttl value=2&ttl=1.5
PUT /v2/keys/ttl value=2&ttl=18446744073709551616
PUT /v2/keys/ttl value=2&ttl=9999999999
PUT /v2/keys/ttl value=2&ttl=4000000000
PUT /v2/keys/ttl value=2&ttl=100&prevExist=true
PUT /v2/keys/ttl ttl=200&refresh=true&prevExist=true
GET /v2/keys/ttl
PUT /v2/keys/ttl ttl=200&refresh=true
PUT /v2/keys/ttl ttl=200&refresh=true&value=1
PUT /v2/keys/ttl refresh=true
PUT /v2/keys/ttl refresh=maybe
PUT /v2/keys/nottl ttl=200&refresh=true
PUT /v2/keys/nottl ttl=200&refresh=true&prevExist=true
PUT /v2/keys/ttl ttl=300&refresh=true&prevValue=2
PUT /v2/keys/ttl value=3&prevExist=true
PUT /v2/keys/new value=1&prevExist=false
PUT /v2/keys/new value=1&prevExist=false
PUT /v2/keys/new value=2&prevExist=true
PUT /v2/keys/gone value=2&prevExist=true
PUT /v2/keys/new value=2&prevExist=
PUT /v2/keys/new value=2&prevExist=yes
PUT /v2/keys/new value=2&prevExist=T&noValueOnSuccess=true
PUT /v2/keys/new value=2&noValueOnSuccess=true
PUT /v2/keys/new2 value=2&noValueOnSuccess=true&prevExist=false
PUT /v2/keys/new2 value=2&noValueOnSuccess=x
POST /v2/keys/queue?noValueOnSuccess=true value=x
DELETE /v2/keys/new2?noValueOnSuccess=true
PUT /v2/keys/cas value=one
PUT /v2/keys/cas?prevValue=two value=three
PUT /v2/keys/cas?prevValue=one value=two
PUT /v2/keys/cas?prevIndex=1 value=three
PUT /v2/keys/cas?prevIndex=1&prevValue=x value=three
PUT /v2/keys/cas?prevIndex=x value=three
PUT /v2/keys/cas?prevIndex= value=three
PUT /v2/keys/cas?prevIndex=-1 value=three
PUT /v2/keys/cas?prevIndex=0 value=three
PUT /v2/keys/cas?prevValue= value=four
PUT /v2/keys/cas?prevValue=three&prevExist=true value=four
PUT /v2/keys/cas?prevValue=three&prevExist=true value=four
PUT /v2/keys/cas?prevValue=three&prevExist=false value=four
PUT /v2/keys/nocas?prevValue=three value=four
PUT /v2/keys/cas?prevValue=four&noValueOnSuccess=1 value=five
DELETE /v2/keys/cas?prevValue=four
DELETE /v2/keys/cas?prevIndex=3
DELETE /v2/keys/cas?prevValue=x&prevIndex=3
DELETE /v2/keys/cas?prevValue=
DELETE /v2/keys/cas?prevValue=five
DELETE /v2/keys/cas?prevValue=five
PUT /v2/keys/dir dir=true
PUT /v2/keys/dir dir=true
PUT /v2/keys/dir value=x
PUT /v2/keys/dir dir=true&prevExist=true&ttl=50
GET /v2/keys/dir
PUT /v2/keys/dir dir=true&prevExist=true
PUT /v2/keys/dir value=x&prevExist=true
PUT /v2/keys/dir?prevValue=x value=x
DELETE /v2/keys/dir?prevValue=x
PUT /v2/keys/dir dir=true&prevExist=false
PUT /v2/keys/dir/a value=1
PUT /v2/keys/dir/b/c/d value=2
PUT /v2/keys/dir/_hidden value=3
PUT /v2/keys/dir/_secret/x value=3
PUT /v2/keys/dir/empty dir=true
PUT /v2/keys/dir/e/_h value=4
GET /v2/keys/dir?sorted=true
GET /v2/keys/dir?recursive=true&sorted=true
GET /v2/keys/dir/_hidden
GET /v2/keys/dir/_secret?recursive=true
GET /v2/keys/dir/a/none
GET /v2/keys/dir/a?recursive=true
GET /v2/keys/dir?recursive=maybe
GET /v2/keys/dir?sorted=maybe
GET /v2/keys/dir?quorum=maybe
GET /v2/keys/dir/a?quorum=true
GET /v2/keys/dir/a?consistent=true
GET /v2/keys/dir/a?wait=true&quorum=true
GET /v2/keys/dir?stream=maybe
GET /v2/keys/dir?dir=maybe
GET /v2/keys/dir?wait=maybe
GET /v2/keys/dir?waitIndex=x&wait=true
PUT /v2/keys/dir?wait=true value=1
DELETE /v2/keys/dir
DELETE /v2/keys/dir?dir=true
DELETE /v2/keys/dir/empty?dir=true
DELETE /v2/keys/dir/a?dir=true
DELETE /v2/keys/dir?recursive=true
DELETE /v2/keys/dir?recursive=true
PUT /v2/keys/file value=1
PUT /v2/keys/file dir=true
PUT /v2/keys/file/below value=1
PUT /v2/keys/file/below/deeper value=1
PUT /v2/keys/file/below/deeper/x value=1&prevExist=false
PUT /v2/keys/file/below/deeper/x value=1&prevExist=true
POST /v2/keys/file/below value=1
POST /v2/keys/queue value=a
POST /v2/keys/queue value=b&ttl=100
POST /v2/keys/queue dir=true
POST /v2/keys/queue/ value=c
GET /v2/keys/queue?sorted=true&recursive=true
POST /v2/keys value=top
PUT /v2/keys value=1
PUT /v2/keys/ dir=true
PUT /v2/keys dir=true&prevExist=false
PUT /v2/keys ttl=5&prevExist=true
PUT /v2/keys?prevValue=x value=1
DELETE /v2/keys
DELETE /v2/keys?recursive=true
DELETE /v2/keys?prevValue=x
PATCH /v2/keys/x value=1
OPTIONS /v2/keys/x
PUT /v2/keys/x?a=%zz value=1
PUT /v2/keys/x value=%4
PUT /v2/keys/x value=1;b=2
GET /v2/keys/x?a;b
GET //v2/keys/file
GET /v2//keys/file?recursive=true&a=%3Cb%3E
GET /v2/keys/./a/../file
GET /v2/keys//a b
PUT /v2//keys/file value=1
HEAD /v2//keys/file
GET /v2/keysx
GET /
GET /v2
GET /version
POST /version
HEAD /version
GET /health
POST /health
GET /v2/machines
HEAD /v2/machines
POST /v2/machines
GET /v2/members
GET /v2/members/
GET /v2/members/leader
GET /v2/members/none
PATCH /v2/members
DELETE /v2/members
DELETE /v2/members/nonsense
DELETE /v2/members/abc
GET /v2/stats
GET /v2/stats/self
POST /v2/stats/self
GET /v2/stats/leader
POST /v2/stats/leader
POST /v2/stats/store
GET /v2/auth/enable
GET /v2/keys?waitIndex=0&wait=false&sorted=true
GET /v2/keys?waitIndex=1&wait=true&recursive=true
GET /v2/keys/file?waitIndex=5&wait=true
GET /v2/keys/dir/b/c?waitIndex=20&wait=true
GET /v2/keys/dirx?waitIndex=20&wait=true
"#;

#[test]
fn answers_are_those_of_etcd() {
    let Some(real) = real() else { return };
    let ours = ours();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (method, mut target) = (words.next().unwrap(), words.next().unwrap());
        let mut body = words.next();
        let whole;
        if method == "GET" && body.is_some() {
            whole = format!("{target} {}", body.take().unwrap()).replace(' ', "%20");
            target = &whole;
        }
        let [theirs, here] = [&real.address, &ours.address]
            .map(|address| essence(&ask(address, method, target, body), address));
        count += 1;
        if theirs != here {
            wrong.push(format!("{line}\n--- etcd\n{theirs}\n--- ours\n{here}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 180, "{count}");
}

/// A watch, then changes; what is told and whether the answer is over.
fn watched(address: &str, target: &str, changes: &[(&str, &str, Option<&str>)]) -> Vec<String> {
    let mut watch = begin(address, "GET", target, None);
    let mut told = vec![format!("{} {:?}", watch.status, watch.fields.get("content-type"))];
    for (method, target, body) in changes {
        ask(address, method, target, *body);
    }
    loop {
        if watch.is_silent() {
            told.push("silence".to_owned());
            return told;
        }
        match watch.chunk() {
            Some(chunk) => told.push(without(&chunk, &["expiration", "ttl"])),
            None => {
                told.push("end".to_owned());
                return told;
            }
        }
    }
}

type Watch = (&'static str, &'static [(&'static str, &'static str, Option<&'static str>)]);

const WATCHES: &[Watch] = &[
    ("/v2/keys/w?wait=true", &[("PUT", "/v2/keys/w", Some("value=1"))]),
    ("/v2/keys/w?wait=true", &[("PUT", "/v2/keys/other", Some("value=1"))]),
    (
        "/v2/keys/w?wait=true&stream=true",
        &[
            ("PUT", "/v2/keys/w", Some("value=2")),
            ("PUT", "/v2/keys/w", Some("ttl=100&refresh=true&prevExist=true")),
            ("PUT", "/v2/keys/w?prevValue=2", Some("value=3")),
            ("DELETE", "/v2/keys/w", None),
        ],
    ),
    ("/v2/keys/d?wait=true", &[("PUT", "/v2/keys/d/a", Some("value=1"))]),
    ("/v2/keys/d?wait=true&recursive=true", &[("PUT", "/v2/keys/d/a", Some("value=2"))]),
    (
        "/v2/keys/d?wait=true&recursive=true&stream=true",
        &[
            ("PUT", "/v2/keys/d/_hidden", Some("value=2")),
            ("PUT", "/v2/keys/d/_h/x", Some("value=2")),
            ("PUT", "/v2/keys/d/b/c", Some("value=2")),
            ("POST", "/v2/keys/d/q", Some("value=2")),
            ("PUT", "/v2/keys/dx", Some("value=2")),
        ],
    ),
    (
        "/v2/keys/d/_h?wait=true&recursive=true&stream=true",
        &[
            ("PUT", "/v2/keys/d/_h/x", Some("value=3")),
            ("PUT", "/v2/keys/d/_h", Some("dir=true&ttl=100&prevExist=true")),
        ],
    ),
    (
        "/v2/keys/?wait=true&recursive=true&stream=true",
        &[("PUT", "/v2/keys/_top", Some("value=1")), ("PUT", "/v2/keys/top", Some("value=1"))],
    ),
    ("/v2/keys/d/b/c?wait=true", &[("DELETE", "/v2/keys/d?recursive=true", None)]),
    (
        "/v2/keys/r?wait=true&recursive=true&stream=true",
        &[("PUT", "/v2/keys/r/a", Some("value=1")), ("DELETE", "/v2/keys/r?recursive=true", None)],
    ),
    ("/v2/keys/short?wait=true&stream=true", &[("PUT", "/v2/keys/short", Some("value=1&ttl=1"))]),
    ("/v2/keys/w?wait=true&stream=true&waitIndex=4", &[("PUT", "/v2/keys/w", Some("value=9"))]),
    ("/v2/keys/w?wait=true&waitIndex=100000", &[("PUT", "/v2/keys/w", Some("value=9"))]),
    ("/v2/keys/w?wait=true&waitIndex=18446744073709551615", &[("PUT", "/v2/keys/w", Some("value=9"))]),
];

#[test]
fn watches_are_told_as_by_etcd() {
    let Some(real) = real() else { return };
    let ours = ours();
    for (target, changes) in WATCHES {
        let theirs = watched(&real.address, target, changes);
        let here = watched(&ours.address, target, changes);
        assert_eq!(here, theirs, "{target} {changes:?}");
    }
}

#[test]
fn the_past_is_as_long_as_etcds() {
    let Some(real) = real() else { return };
    let ours = ours();
    let body = Some("value=1");
    for address in [&real.address, &ours.address] {
        for _ in 0..1005 {
            ask(address, "PUT", "/v2/keys/p", body);
        }
    }
    for index in [1, 8, 9, 10, 500, 1008] {
        let target = format!("/v2/keys/p?wait=true&waitIndex={index}");
        let [theirs, here] = [&real.address, &ours.address]
            .map(|address| essence(&ask(address, "GET", &target, None), address));
        assert_eq!(here, theirs, "{target}");
    }
    // Keys come to their end in order, each at an index of its own.
    for address in [&real.address, &ours.address] {
        ask(address, "PUT", "/v2/keys/dir/x", Some("value=1&ttl=1"));
        ask(address, "PUT", "/v2/keys/dir", Some("dir=true&ttl=2&prevExist=true"));
    }
    std::thread::sleep(Duration::from_millis(3500));
    for target in
        ["/v2/keys/dir", "/v2/keys/dir/x?wait=true&waitIndex=1011", "/v2/keys/dir/x?wait=true&waitIndex=1012"]
    {
        let [theirs, here] = [&real.address, &ours.address]
            .map(|address| essence(&ask(address, "GET", target, None), address));
        assert_eq!(here, theirs, "{target}");
    }
    let [theirs, here] = [&real.address, &ours.address].map(|address| {
        let stats = ask(address, "GET", "/v2/stats/store", None).body;
        // Its own state counts as well.
        without(&stats, &["getsSuccess", "getsFail", "setsSuccess", "createSuccess", "setsFail"])
    });
    assert_eq!(here, theirs);
}
