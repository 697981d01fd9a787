//! What has to be so when a job is over, whatever was killed meanwhile: nothing lost, nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use splay_protocol::api::{InstanceState, Job, JobEventKind, LogLine};
use splay_protocol::session::Ending;

use crate::testbed::Testbed;

/// The program of all rounds: each life writes numbered lines and leaves a file with all of them.
/// `arg[1]` is how many lines, `arg[2]` how many bytes each line of the file has.
pub const APP: &str = r#"
require "splay.base"
local rpc, urpc, misc = require "splay.rpc", require "splay.urpc", require "splay.misc"
local total, width = tonumber(arg[1]), tonumber(arg[2])
local life = string.format("%.6f", misc.time())
rpc.server(job.me.port)
urpc.server(job.me.port)
events.run(function()
  for n = 1, total do
    print("life " .. life .. " line " .. n)
    if n % 5 == 0 then events.sleep(0.05) end
  end
  local file = assert(io.open("results/lines.txt", "w"))
  for n = 1, total do assert(file:write(n .. (" "):rep(width) .. "\n")) end
  file:close()
  os.exit()
end)
"#;

/// What the file of an instance holds.
fn whole_file(total: u32, width: usize) -> String {
    (1..=total).map(|n| format!("{n}{}\n", " ".repeat(width))).collect()
}

/// Lives of one position: the lines of each, which are 1 to its number, in the order of the lives.
type Lives = Vec<u32>;

/// Lines by position and life, each life's from 1 on without a gap or a repetition.
pub fn lives(lines: &[LogLine]) -> BTreeMap<u32, Lives> {
    let mut all: BTreeMap<u32, Vec<(&str, u32)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.kind != "system" && line.kind != "err") {
        let text = line.text.strip_prefix("life ").unwrap_or_else(|| panic!("{line:?}"));
        let (life, number) = text.split_once(" line ").unwrap_or_else(|| panic!("{line:?}"));
        let number: u32 = number.parse().unwrap_or_else(|_| panic!("{line:?}"));
        let lives = all.entry(line.position).or_default();
        match lives.last_mut() {
            Some((last, count)) if *last == life => {
                assert_eq!(number, *count + 1, "position {} after line {count}: {line:?}", line.position);
                *count = number;
            }
            _ => {
                assert_eq!(number, 1, "a life of position {} begins with {line:?}", line.position);
                assert!(lives.iter().all(|(before, _)| *before != life), "lives mixed: {line:?}");
                lives.push((life, 1));
            }
        }
    }
    all.into_iter()
        .map(|(position, lives)| (position, lives.into_iter().map(|(_, count)| count).collect()))
        .collect()
}

/// Starts of each position, as the job's history has them, which has to make sense: numbers without
/// a gap, an end after each start and no other.
pub fn starts(job: &Job) -> BTreeMap<u32, u32> {
    let numbers: Vec<u64> = job.history.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{:#?}", job.history);
    let (mut up, mut starts) = (BTreeSet::new(), BTreeMap::new());
    let mut never = BTreeSet::new();
    for event in &job.history {
        match event.what {
            JobEventKind::Started { position, .. } => {
                assert!(up.insert(position), "{position} started twice: {:#?}", job.history);
                *starts.entry(position).or_default() += 1;
            }
            JobEventKind::InstanceEnded { position, ending, .. } => {
                // One that was lost before it was heard of has an end and no start.
                let known = up.remove(&position);
                let fine = known || ending == Ending::Lost && never.insert(position);
                assert!(fine, "{position} ended twice, or did not start: {:#?}", job.history);
            }
            _ => {}
        }
    }
    assert!(up.is_empty(), "{up:?} did not end: {:#?}", job.history);
    starts
}

/// What was hit: names of splayds that were killed, or whose worker was.
pub type Hit = BTreeSet<String>;

/// A job without churn.
pub fn plain(testbed: &Testbed, job: &Job, hit: &Hit, total: u32, width: usize) {
    let id = &job.summary.id;
    let lives = lives(&testbed.lines(id));
    let starts = starts(job);
    let count = job.submission.instances;
    assert_eq!(job.members.len(), count as usize, "{job:#?}");
    let files = testbed.results(id);
    let folder = testbed.fetched(id);
    let mut finished = 0;
    for (member, position) in job.members.iter().zip(1..) {
        assert_eq!((member.position, member.state), (position, InstanceState::Ended), "{member:#?}");
        let told = lives.get(&position).map_or(&[][..], Vec::as_slice);
        let of =
            |path: &str| files.iter().filter(|file| file.position == position && file.path == path).count();
        match member.ending.expect("an end that is told") {
            Ending::Finished => {
                finished += 1;
                assert_eq!(told, [total], "lines of {position}");
                assert_eq!(starts.get(&position), Some(&1), "{job:#?}");
                assert_eq!(of("lines.txt"), 1, "{files:#?}");
                let path = folder.join(position.to_string()).join("lines.txt");
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(text == whole_file(total, width), "results of {position}: {} bytes", text.len());
            }
            Ending::Lost => {
                assert!(hit.contains(&member.splayd_name), "{} was not hit: {member:#?}", member.splayd_name);
                assert!(told.len() <= 1, "{position} lived more than once: {told:?}");
                assert!(starts.get(&position).is_none_or(|starts| *starts == 1), "{job:#?}");
            }
            other => panic!("{position} ended as {other:?}: {member:#?}"),
        }
    }
    assert!(lives.keys().all(|position| (1..=count).contains(position)));
    assert_eq!(job.summary.finished, finished);
    assert_eq!(job.logs.dropped_lines + job.logs.cut_lines, 0);
}

/// A job with churn whose nodes start so often as `planned` says.
pub fn churned(testbed: &Testbed, job: &Job, hit: &Hit, planned: &[u32]) {
    let lives = lives(&testbed.lines(&job.summary.id));
    let starts = starts(job);
    let churn = job.churn.as_ref().expect("it has churn");
    for (planned, position) in planned.iter().zip(1..) {
        let started = starts.get(&position).copied().unwrap_or(0);
        let lived = lives.get(&position).map_or(0, |lives| lives.len() as u32);
        if hit.is_empty() {
            assert_eq!(started, *planned, "starts of {position}: {job:#?}");
        }
        // One that ends at once may leave no line; one that was heard of was started.
        assert!(lived <= started, "lives of {position}: {lived}, and {started} starts: {job:#?}");
    }
    if hit.is_empty() {
        assert_eq!((churn.done, churn.moved), (churn.steps, 0), "{churn:#?}");
    }
    assert_eq!(job.logs.dropped_lines + job.logs.cut_lines, 0);
}
