//! What a user at a terminal is asked and shown while a testbed is used.

mod support;

use std::process::{Child, Command, Stdio};

use support::Place;
use support::terminal::Terminal;
use support::testbed::{inside, programs};

/// A testbed that is there until the value is dropped.
struct Up {
    child: Child,
    url: String,
    fingerprint: String,
}

impl Up {
    fn start(place: &Place, splayds: u32) -> Up {
        let kept = place.path().join("up").to_string_lossy().into_owned();
        let count = splayds.to_string();
        let mut command = Command::new(programs());
        command.args(["up", "-n", &count, "--keep", &kept]);
        // Its own session is not the user's.
        command.env("XDG_CONFIG_HOME", place.path().join("up-config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let mut url = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut url).expect("a line");
        let sessions = place.read("up-config/splay/controllers.json");
        let sessions: serde_json::Value = serde_json::from_str(&sessions).expect("JSON");
        let current = sessions["current"].as_str().expect("a name");
        let fingerprint =
            sessions["controllers"][current]["fingerprint"].as_str().expect("a digest").to_owned();
        Up { child, url: url.trim().to_owned(), fingerprint }
    }

    /// `splay WORDS` as the administrator whom the testbed has logged in.
    fn admin(&self, place: &Place, words: &[&str], input: &str) -> support::Outcome {
        let mut command = place.splay(words);
        command.env("XDG_CONFIG_HOME", place.path().join("up-config")).write_stdin(input);
        support::Outcome::of(command)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A terminal whose `splay` keeps its sessions in the place.
fn terminal(place: &Place, words: &[&str]) -> Terminal {
    let config = place.path().join("config");
    Terminal::start_with(place.path(), words, &[("XDG_CONFIG_HOME", &config)])
}

#[test]
fn a_login_asks_whom_to_trust_and_hides_the_password() {
    let place = Place::new();
    let up = Up::start(&place, 1);
    up.admin(&place, &["users", "add", "ann"], "long-enough\n").ended(0);

    let mut refusing = terminal(&place, &["login", &up.url, "-u", "ann"]);
    refusing.shows("shows a certificate that is not known here");
    refusing.shows(&up.fingerprint);
    refusing.shows("Is it the right one? [y/N] ");
    refusing.type_keys("n\r");
    refusing.shows("not logged in to");
    refusing.ends(8);

    let mut accepting = terminal(&place, &["login", &up.url, "-u", "ann", "--name", "lab"]);
    accepting.shows("[y/N] ");
    accepting.type_keys("y\r");
    accepting.shows("Password of ann at https://127.0.0.1:");
    accepting.type_keys("long-enough\r");
    accepting.shows("logged in to lab (https://127.0.0.1:");
    accepting.ends(0);
    assert!(!accepting.screen().contains("long-enough"), "{}", accepting.screen());

    // It is trusted from now on; a wrong password is told as such.
    let mut again = terminal(&place, &["login", "lab"]);
    again.shows("Password of ann at ");
    again.type_keys("wrong-password\r");
    again.shows("user or password is wrong");
    again.ends(8);
    assert!(!again.screen().contains("[y/N]") && !again.screen().contains("wrong-password"));

    // A password of one's own is changed by two questions, neither answer shown.
    let mut change = terminal(&place, &["users", "password"]);
    change.shows("Password so far: ");
    change.type_keys("long-enough\r");
    change.shows("New password of ann: ");
    change.type_keys("longer-than-enough\r");
    change.shows("password of ann changed; all sessions of ann have ended: log in again");
    change.ends(0);
    assert!(!change.screen().contains("enough\r") && !change.screen().contains("longer-than"));
    let mut ended = terminal(&place, &["jobs"]);
    ended.shows("log in again");
    ended.ends(8);
}

#[test]
fn a_submission_shows_how_far_it_is_and_is_left_or_killed_by_ctrl_c() {
    let place = Place::with("require 'splay.base' events.run(function() print('up') events.sleep(600) end)");
    let up = Up::start(&place, 1);
    let login = ["login", &up.url, "-u", "ann", "--fingerprint", &up.fingerprint];
    up.admin(&place, &["users", "add", "ann"], "long-enough\n").ended(0);
    let mut command = place.splay(&login);
    command.env("XDG_CONFIG_HOME", place.path().join("config")).write_stdin("long-enough\n");
    support::Outcome::of(command).ended(0);

    let mut watching = terminal(&place, &["submit", "app.lua", "-n", "3", "--wait"]);
    watching.shows("submitted (seed ");
    watching.shows("running");
    watching.shows("up");
    watching.type_keys("\x03");
    watching.shows("splay kill ");
    watching.ends(130);

    // Until it runs, and no longer, is the rule without --wait.
    let mut starting = terminal(&place, &["submit", "app.lua", "-n", "2"]);
    starting.shows("submitted (seed ");
    starting.shows("running");
    starting.ends(0);

    let mut killing = terminal(&place, &["submit", "app.lua", "-n", "2", "--wait", "--kill-on-exit"]);
    killing.shows("up");
    killing.type_keys("\x03");
    killing.shows("killed");
    killing.ends(130);

    // More than there are seats for: the wait is shown with its figures.
    let mut queued = terminal(&place, &["submit", "app.lua", "-n", "99"]);
    queued.shows("queued");
    queued.shows("seats are free");
    queued.ends(0);
    let jobs = {
        let mut command = place.splay(&["jobs", "--json"]);
        command.env("XDG_CONFIG_HOME", place.path().join("config"));
        support::Outcome::of(command).ended(0).out
    };
    let jobs: serde_json::Value = serde_json::from_str(&jobs).expect("JSON");
    let states: Vec<&str> =
        jobs.as_array().expect("a list").iter().map(|job| job["state"].as_str().expect("a state")).collect();
    assert_eq!(states, ["running", "running", "killed", "queued"]);
}

#[test]
fn secrets_are_shown_once_and_what_is_done_is_told() {
    let place = Place::new();
    let script = "\
        splay tokens add nightly --for 1h > token\n\
        SPLAY_TOKEN=$(cat token) splay users me > me\n\
        splay tokens --json > tokens\n\
        splay join-tokens add --uses 2 --for 1h > join 2> warning\n\
        splay join-tokens --json > joins\n\
        id=$(tr -d ' \\n' < joins | sed 's/.*\"id\":\"\\(k[^\"]*\\)\".*/\\1/')\n\
        splay join-tokens revoke $id\n\
        echo long-enough | splay users add ann\n\
        splay users role ann read-only\n\
        splay audit --json > audit\n\
        splay audit --last 3 > table\n\
        (export XDG_CONFIG_HOME=$PWD/ann; echo long-enough | splay login $SPLAY_CONTROLLER -u ann --fingerprint $SPLAY_FINGERPRINT\n\
        unset SPLAY_TOKEN SPLAY_CONTROLLER\n\
        for words in 'users add eve' 'join-tokens' 'join-tokens add' 'audit' \"join-tokens revoke $id\"; do\n\
          splay $words < token 2>> refused && exit 99 || [ $? = 8 ]\n\
        done)\n\
        splay users remove ann\n";
    inside(&place, 1, script).ended(0);
    let (token, join) = (place.read("token"), place.read("join"));
    assert!(place.read("me").starts_with("admin (admin)"), "{}", place.read("me"));
    assert!(join.starts_with("splay-join:v1:") && place.read("warning").contains("a secret"));
    for (name, secret) in [("tokens", &token), ("joins", &join), ("audit", &token), ("audit", &join)] {
        let shown = place.read(name);
        assert!(!shown.contains(secret.trim()), "{name} shows a secret: {shown}");
    }
    let audit: serde_json::Value = serde_json::from_str(&place.read("audit")).expect("JSON");
    let done: Vec<&str> =
        audit.as_array().expect("a list").iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["token.add", "join-token.add", "join-token.revoke", "user.add", "user.change"] {
        assert!(done.contains(&action), "{action}: {done:?}");
    }
    assert_eq!(place.read("table").lines().count(), 4, "{}", place.read("table"));
    let refused = place.read("refused");
    assert_eq!(refused.matches("only an admin may do this").count(), 5, "{refused}");
}
