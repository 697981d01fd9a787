//! One instance's Lua state and the running of its threads. The raw Lua API is wrapped in
//! [`stack`]; what is decided without Lua is in [`crate::scheduler`].

mod arena;
mod complete;
mod counters;
mod ctx;
mod depth;
mod evaluate;
mod inquiry;
mod leaving;
mod libraries;
mod look;
mod machine;
mod memory;
pub mod nested;
mod output;
mod passes;
mod run;
mod show;
pub mod stack;
mod state;
mod view;
mod waits;
mod watch;

pub use counters::{Totals, add};
pub use ctx::{Ctx, End, Interest, Outcome, Request, Service, Wait};
pub use evaluate::{Completeness, completeness};
pub(crate) use libraries::{BYTECODE, is_library, load_file, load_source, push_library};
pub use libraries::{Module, compile, sources};
pub use look::ThreadLook;
pub use machine::Access;
pub use run::{Next, name_of, thread_named};
pub use stack::{Kind, NativeError, NativeResult, Return, Stack, State, enter, enter_always, request_mark};
pub use state::Instance;
pub(crate) use state::compile_alone;
pub use watch::{Beat, Interrupter, Pulse, Watch, Watchdog};
