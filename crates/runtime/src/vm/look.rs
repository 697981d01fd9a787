//! Looks at the threads and timers of an instance that stands still: what each waits for, and
//! where. For people; changes nothing that a program could notice.

use std::time::Duration;

use super::ctx::{Ctx, Target};
use super::run::name_of;
use super::state::Instance;
use crate::scheduler::threads::Status;
use crate::scheduler::timers::TimerId;

/// What carries requests through nested coroutines; of no interest here.
const PRELUDE: &str = "splay/prelude.lua";

/// A thread as it is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLook {
    /// Its name as Lua shows it.
    pub name: String,
    /// It is the main chunk.
    pub main: bool,
    /// What it does, in words.
    pub doing: String,
    /// When its waiting ends at the latest, by the driver's clock.
    pub until: Option<Duration>,
    /// Where it is, innermost first: `app.lua:12: in function <app.lua:10>`.
    pub frames: Vec<String>,
}

impl Ctx {
    fn deadline_of(&self, timer: TimerId) -> Option<Duration> {
        if timer == TimerId::NONE {
            return None;
        }
        self.timers.borrow().iter().find(|(id, ..)| *id == timer).map(|(_, at, _)| at)
    }

    /// The name of an event, as Lua code shows it.
    fn event_name(&self, slot: u32) -> String {
        let main = self.main_stack();
        main.stored(self.anchors.get().events);
        main.raw_get_index(-1, slot as i32 + 1);
        let name = match main.text(-1) {
            Some(name) => format!("\"{name}\""),
            None => format!("a {}", main.type_name(-1)),
        };
        main.pop(2);
        name
    }

    fn threads(&self) -> Vec<ThreadLook> {
        let seen: Vec<_> = {
            let threads = self.threads.borrow();
            threads.iter().map(|(id, thread)| (id, thread.status, thread.timer, thread.coroutine)).collect()
        };
        let look = |(id, status, timer, coroutine)| {
            let main = self.main_thread.get() == Some(id);
            let doing = match status {
                Status::New => "has not run yet".to_owned(),
                Status::Running => "runs".to_owned(),
                Status::Yielded => "has yielded".to_owned(),
                Status::Sleeping if main && self.in_run.get() => "waits in events.run".to_owned(),
                Status::Sleeping => "sleeps".to_owned(),
                Status::Event(slot) => format!("waits for the event {}", self.event_name(slot)),
                Status::Request => "waits for the network".to_owned(),
            };
            let frames = self.traceback(coroutine, "");
            let frames = frames.lines().filter_map(|line| line.strip_prefix('\t'));
            let frames = frames.filter(|line| !line.starts_with(PRELUDE) && !line.starts_with("[C]"));
            let frames = frames.map(str::to_owned).collect();
            ThreadLook { name: name_of(id), main, doing, until: self.deadline_of(timer), frames }
        };
        seen.into_iter().map(look).collect()
    }

    fn timers(&self) -> Vec<(Duration, String)> {
        let mut found: Vec<_> = {
            let threads = self.threads.borrow();
            let timers = self.timers.borrow();
            let valid = timers.iter().filter_map(|(timer, at, target)| match target {
                Target::Thread(id) => {
                    let waits = threads.get(id).is_some_and(|thread| thread.timer == timer);
                    waits.then(|| (at, timer, format!("resumes {}", name_of(id))))
                }
                Target::Native(_) => Some((at, timer, "work of a library".to_owned())),
            });
            valid.collect()
        };
        found.sort();
        found.into_iter().map(|(at, _, what)| (at, what)).collect()
    }
}

impl Instance {
    /// Its threads.
    pub fn threads(&self) -> Vec<ThreadLook> {
        let _entered = self.context().enter();
        self.context().threads()
    }

    /// Its timers, the next one first: when, and what happens then.
    pub fn timers(&self) -> Vec<(Duration, String)> {
        self.context().timers()
    }
}
