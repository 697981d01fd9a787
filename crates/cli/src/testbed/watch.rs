//! Stays with a job that was submitted: shows how its deployment goes, its lines if they are wanted,
//! and what became of it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use indicatif::{ProgressBar, ProgressStyle};
use splay_protocol::api::{InstanceState, Job, JobEvent, JobEventKind, JobState, Kill};

use super::client::{Client, segment};
use super::follow::{self, News};
use super::lines::Layout;
use super::outcome::{sentence, status, word};
use super::{coloured, job, print};
use crate::failure::{Failure, STATUS_INTERRUPTED, complain};
use crate::interrupt;

/// How often a deployment is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A job that is still queued after this will not start at once: it is left to the controller.
const QUEUED: Duration = Duration::from_secs(3);
/// Lines that come after the job's end are waited for as long as this.
const LAST_LINES: Duration = Duration::from_secs(10);

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// Stay until the job is over, and show its lines.
    pub wait: bool,
    /// As JSON, an object a line: `{"event": ...}`, `{"line": ...}`, `{"job": ...}`.
    pub json: bool,
    /// No lines and no progress.
    pub quiet: bool,
    /// Kill the job on Ctrl-C.
    pub kill_on_exit: bool,
}

struct Watch {
    client: Arc<Client>,
    id: String,
    wishes: Wishes,
    layout: Layout,
    bar: ProgressBar,
    state: JobState,
    since: Instant,
    killed: bool,
}

/// Stays with the job and gives the status to end with.
pub fn watch(client: Client, id: &str, instances: u32, wishes: Wishes) -> Result<ExitCode, Failure> {
    let (news, heard) = unbounded();
    let client = Arc::new(client);
    let interrupts = news.clone();
    interrupt::watch(move || drop(interrupts.send(News::Interrupt))).map_err(Failure::Worker)?;
    follow::events(client.clone(), id.to_owned(), news.clone());
    let lines = wishes.wait && !wishes.quiet;
    if lines {
        follow::lines(client.clone(), id.to_owned(), String::new(), None, news);
    }
    let bar = if wishes.json || wishes.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a valid template"));
    let mut watch = Watch {
        client,
        id: id.to_owned(),
        wishes,
        layout: Layout {
            width: instances.to_string().len(),
            started_at: None,
            clock: false,
            coloured: coloured() && !wishes.json,
            json: false,
        },
        bar,
        state: JobState::Queued,
        since: Instant::now(),
        killed: false,
    };
    watch.run(&heard, lines)
}

impl Watch {
    fn run(&mut self, heard: &Receiver<News>, lines: bool) -> Result<ExitCode, Failure> {
        let mut looked = Instant::now();
        // Since when only the last lines are waited for.
        let mut over: Option<Instant> = None;
        let mut open_lines = lines;
        loop {
            let news = match heard.recv_timeout(LOOK) {
                Ok(news) => Some(news),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("signals keep the channel open"),
            };
            match news {
                Some(News::Event(event)) => self.event(&event)?,
                Some(News::Line(line)) => self.line(&line)?,
                Some(News::Away(why)) => self.say(&format!("{why}; asking again")),
                Some(News::Back) => self.say("the controller answers again"),
                Some(News::EventsEnd) => over = Some(Instant::now()),
                Some(News::LinesEnd) => open_lines = false,
                Some(News::Failed(failure)) => return Err(failure),
                Some(News::Interrupt) => {
                    if let Some(code) = self.interrupted()? {
                        return Ok(code);
                    }
                }
                None => {}
            }
            if let Some(since) = over {
                if !open_lines || since.elapsed() > LAST_LINES {
                    return self.finish();
                }
                continue;
            }
            if !self.wishes.wait && self.done_without_waiting() {
                return self.leave();
            }
            if self.state < JobState::Running && looked.elapsed() >= LOOK {
                looked = Instant::now();
                if let Ok(job) = job(&self.client, &self.id) {
                    self.bar.set_message(progress(&job));
                    self.bar.tick();
                }
            }
        }
    }

    /// Whether there is nothing more to see for whom does not wait.
    fn done_without_waiting(&self) -> bool {
        let queued = self.state == JobState::Queued && self.since.elapsed() > QUEUED;
        self.state == JobState::Running || queued
    }

    fn event(&mut self, event: &JobEvent) -> Result<(), Failure> {
        if self.wishes.json {
            print(&format!("{}\n", serde_json::json!({ "event": event })))?;
        }
        match &event.what {
            JobEventKind::State { state, why } => {
                self.state = *state;
                if *state == JobState::Running {
                    self.layout.started_at.get_or_insert(event.at);
                    self.bar.finish_and_clear();
                }
                let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
                if !state.is_final() {
                    self.say(&format!("job {} {}{why}", self.id, word(*state)));
                }
            }
            JobEventKind::Moved { position, from, to } => {
                self.say(&format!("instance {position} moved from {from} to {to}"));
            }
            JobEventKind::Limit { position, limit, allowed, reached } => {
                self.say(&format!("instance {position} met {limit}: {reached} of {allowed}"));
            }
            JobEventKind::Note { text } => self.say(text),
            JobEventKind::Started { .. } | JobEventKind::InstanceEnded { .. } => {}
        }
        Ok(())
    }

    fn line(&mut self, line: &splay_protocol::api::LogLine) -> Result<(), Failure> {
        if self.wishes.json {
            return print(&format!("{}\n", serde_json::json!({ "line": line })));
        }
        if self.layout.started_at.is_none()
            && let Ok(job) = job(&self.client, &self.id)
        {
            self.layout.started_at = job.summary.started_at;
        }
        let text = self.layout.line(line);
        self.bar.suspend(|| print(&text))
    }

    /// Ctrl-C: the job goes on, unless it is to be killed; `None` while its end is waited for.
    fn interrupted(&mut self) -> Result<Option<ExitCode>, Failure> {
        self.bar.finish_and_clear();
        if self.wishes.kill_on_exit && !self.killed {
            self.killed = true;
            let reason = "splay submit was interrupted".to_owned();
            let kill = Kill { reason, ..Kill::default() };
            self.client.tell("POST", &format!("/jobs/{}/kill", segment(&self.id)), Some(&kill))?;
            self.say(&format!("killing job {} (Ctrl-C again: do not wait)", self.id));
            return Ok(None);
        }
        let id = &self.id;
        complain(&format!("job {id} goes on: `splay logs {id} -f` follows it, `splay kill {id}` ends it"));
        Ok(Some(ExitCode::from(STATUS_INTERRUPTED)))
    }

    /// The job is over.
    fn finish(&mut self) -> Result<ExitCode, Failure> {
        self.bar.finish_and_clear();
        let job = job(&self.client, &self.id)?;
        if self.wishes.json {
            print(&format!("{}\n", serde_json::json!({ "job": job.summary })))?;
        } else {
            complain(&sentence(&job.summary));
        }
        if self.killed {
            return Ok(ExitCode::from(STATUS_INTERRUPTED));
        }
        Ok(status(&job.summary).map_or(ExitCode::SUCCESS, ExitCode::from))
    }

    /// The job runs, or waits for its time.
    fn leave(&mut self) -> Result<ExitCode, Failure> {
        self.bar.finish_and_clear();
        let id = &self.id;
        self.say(&format!(
            "`splay logs {id} -f` follows it, `splay job {id}` tells about it, `splay kill {id}` ends it"
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn say(&self, text: &str) {
        if !self.wishes.json && !self.wishes.quiet {
            self.bar.suspend(|| complain(text));
        }
    }
}

/// How far a deployment is: `loading: 120 of 200 instances have seats on 10 splayds, 80 run`.
fn progress(job: &Job) -> String {
    let seated = job.members.len();
    let mut splayds: Vec<&str> = job.members.iter().map(|member| member.splayd.as_str()).collect();
    splayds.sort_unstable();
    splayds.dedup();
    let running = job.members.iter().filter(|member| member.state == InstanceState::Running).count();
    let mut text =
        format!("{}: {seated} of {} instances have seats", word(job.summary.state), job.summary.instances);
    if !splayds.is_empty() {
        text.push_str(&format!(" on {} splayds", splayds.len()));
    }
    if running > 0 {
        text.push_str(&format!(", {running} run"));
    }
    if !job.summary.why.is_empty() {
        text.push_str(&format!(" ({})", job.summary.why));
    }
    text
}
