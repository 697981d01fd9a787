//! Where sandboxed programs are run: a folder with their files, their own modules, and a file next
//! to both that must stay as it is.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{InstanceConfig, Mode, Report, Sandbox, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::Worker;

const SECRET: &str = "return 'ESCAPED: secret'";

pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Stage {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("secret.lua"), SECRET).expect("writable");
        std::fs::create_dir(folder.path().join("app")).expect("writable");
        Stage { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file beside the program.
    pub fn own(&self, name: &str, content: &[u8]) {
        let file = self.path("app").join(name);
        std::fs::create_dir_all(file.parent().expect("in a folder")).expect("writable");
        std::fs::write(file, content).expect("writable");
    }

    /// The files of an instance.
    pub fn files(&self, instance: usize) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(&format!("files{instance}"))).expect("folder");
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Nothing but the instances' folders was written to.
    pub fn is_untouched(&self) -> bool {
        let entries = std::fs::read_dir(self.folder.path()).expect("folder");
        let foreign = entries
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with("files") && name != "app" && name != "secret.lua")
            .count();
        foreign == 0 && std::fs::read_to_string(self.path("secret.lua")).is_ok_and(|text| text == SECRET)
    }

    /// A program as LuaJIT bytecode.
    pub fn bytecode(&self, source: &str) -> Vec<u8> {
        Program::from_source("x", source.as_bytes(), None).expect("compiles").bytecode
    }

    /// Runs programs in the sandbox of one worker and returns lines of output, deaths and ends,
    /// each with the instance's number. `SECRET` in a program is the path of the file to spare.
    pub fn run(&self, programs: &[&str]) -> Vec<String> {
        let secret = self.path("secret.lua");
        let programs: Vec<Vec<u8>> = programs
            .iter()
            .map(|program| program.replace("SECRET", &secret.to_string_lossy()).into_bytes())
            .collect();
        self.perform("app.lua", &programs, |number| Mode::Sandboxed(self.sandbox(number)))
    }

    /// Runs one program, given as bytes, in the sandbox.
    pub fn run_source(&self, source: &[u8]) -> Vec<String> {
        self.perform("app.lua", &[source.to_vec()], |number| Mode::Sandboxed(self.sandbox(number)))
    }

    /// Runs one program in the sandbox with so many threads for traffic.
    pub fn run_with_traffic(&self, source: &str, threads: u32) -> Vec<String> {
        let mode = |number| Sandbox { traffic_threads: threads, ..self.sandbox(number) };
        self.perform("app.lua", &[source.as_bytes().to_vec()], |number| Mode::Sandboxed(mode(number)))
    }

    /// Runs one program, given as name and bytes, beside copies of the files of `modules`, in
    /// a sandbox with limits that nothing reaches.
    pub fn run_freely(&self, name: &str, source: &[u8], modules: &Path) -> Vec<String> {
        let wide = |number| Sandbox {
            max_disk_bytes: 1 << 40,
            max_files: 1000,
            max_send_bytes: 1 << 40,
            max_receive_bytes: 1 << 40,
            max_sockets: 10_000,
            ports: None,
            blacklist: Vec::new(),
            traffic_threads: 8,
            ..self.sandbox(number)
        };
        for entry in std::fs::read_dir(modules).expect("folder") {
            let file = entry.expect("entry").path();
            if file.is_file() {
                let name = file.file_name().expect("has a name");
                std::fs::copy(&file, self.path("app").join(name)).expect("copied");
            }
        }
        self.perform(name, &[source.to_vec()], |number| Mode::Sandboxed(wide(number)))
    }

    /// Runs a program without sandbox.
    pub fn run_plain(&self, program: &str) -> Vec<String> {
        self.perform("app.lua", &[program.as_bytes().to_vec()], |_| Mode::Hosted)
    }

    fn sandbox(&self, number: u32) -> Sandbox {
        Sandbox {
            max_disk_bytes: 100_000,
            max_files: 20,
            max_file_descriptors: 10,
            max_send_bytes: 50_000,
            max_receive_bytes: 50_000,
            max_sockets: 20,
            ports: Some((34_100, 34_199)),
            blacklist: vec!["127.0.0.2".to_owned(), "*.forbidden.example".to_owned()],
            ..Sandbox::new(self.path(&format!("files{number}")))
        }
    }

    fn perform(&self, name: &str, programs: &[Vec<u8>], mode: impl Fn(u32) -> Mode) -> Vec<String> {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let heard = lines.clone();
        let sink = move |report: Report| {
            let line = match report {
                Report::Output { instance, line, .. } => {
                    format!("{instance} {}", String::from_utf8_lossy(&line))
                }
                Report::ThreadDied { instance, error, .. } => format!("{instance} DIED {error}"),
                Report::Ended { instance, reason, .. } => format!("{instance} END {reason:?}"),
                Report::Started { .. }
                | Report::Limit { .. }
                | Report::Viewed { .. }
                | Report::Check { .. } => return,
            };
            heard.borrow_mut().push(line);
        };
        let driver = Box::new(RealDriver::new().expect("driver"));
        let config = WorkerConfig { slice: Some(Duration::from_secs(1)) };
        let mut worker = Worker::new(driver, config, Box::new(sink));
        let app: &Path = &self.path("app");
        for (number, source) in (1..).zip(programs) {
            let program = Program::from_source(name, source, Some(app.to_owned())).expect("compiles");
            let config = InstanceConfig {
                program: Arc::new(program),
                arguments: vec!["one".to_owned()],
                job: None,
                mode: mode(number),
                jit: false,
                compact: false,
                seed: Some(1),
                max_memory_bytes: (name == "app.lua").then_some(20 << 20),
            };
            worker.start(number, config);
        }
        worker.run().expect("runs");
        drop(worker);
        Rc::try_unwrap(lines).expect("the worker is gone").into_inner()
    }
}
