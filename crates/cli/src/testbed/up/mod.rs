//! A whole testbed on this machine: a controller and splayds as real processes.

mod process;

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use splay_protocol::api::{CreatedJoinToken, LoggedIn, Login, NewJoinToken, Splayd, SplaydState};

use self::process::Process;
use super::client::Client;
use crate::failure::{Failure, complain};

/// Below it the system's own services are; above the last one, connections' own ports.
const LAST_PORT: u16 = 32_767;
/// The controller must answer within this.
const CONTROLLER: Duration = Duration::from_secs(30);
/// What a splayd gets to tell its jobs and the controller.
const FAREWELL: Duration = Duration::from_secs(6);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(50);
/// A join token is used at once.
const TOKEN_SECONDS: f64 = 3600.0;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many splayds.
    pub splayds: u32,
    /// Instances each hosts at most.
    pub seats: u32,
    /// First port of the first splayd's instances.
    pub first_port: u16,
    /// Where the controller listens.
    pub listen: SocketAddr,
    /// Folder of everything.
    pub folder: PathBuf,
}

/// A testbed that runs; ends with this value, and with this process however that ends.
#[derive(Debug)]
pub struct Testbed {
    plan: Plan,
    controller: Process,
    splayds: Vec<Process>,
    /// The controller's address.
    pub url: String,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// The administrator's session.
    pub session: LoggedIn,
}

/// A program that is installed beside this one.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::Worker)?;
    let path = own.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure::Testbed(format!(
            "there is no {name} beside {}: install it there, or use the `splay` script of the checkout",
            own.display()
        ))),
    }
}

/// The ports of all splayds of such a testbed.
pub fn ports_of_all(splayds: u32, seats: u32, first_port: u16) -> Result<RangeInclusive<u16>, Failure> {
    let width = width(splayds, seats, first_port)?;
    Ok(first_port..=(u32::from(first_port) + splayds * width - 1) as u16)
}

/// First and last port of a splayd's instances: disjoint ranges, as wide as there is room for.
fn ports(plan: &Plan, index: u32) -> Result<(u16, u16), Failure> {
    let width = width(plan.splayds, plan.seats, plan.first_port)?;
    let first = u32::from(plan.first_port) + index * width;
    Ok((first as u16, (first + width - 1) as u16))
}

/// How many ports each splayd gets.
fn width(splayds: u32, seats: u32, first_port: u16) -> Result<u32, Failure> {
    let room = (u32::from(LAST_PORT) + 1).saturating_sub(first_port.into());
    // Room for instances with several ports, and for ports that others use.
    let width = (room / splayds).min(seats.saturating_mul(3).max(30));
    if width < seats.max(10) {
        return Err(Failure::Usage(format!(
            "{splayds} splayds of {seats} seats need {} ports, and from {first_port} to {LAST_PORT} there are \
             {room}: fewer of either, or a lower --first-port",
            splayds * seats.max(10),
        )));
    }
    Ok(width)
}

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::Write { path: path.to_owned(), source })
}

fn controller_arguments(data: &Path, listen: SocketAddr) -> Vec<String> {
    arguments(&["serve", "--data", &data.to_string_lossy(), "--listen", &listen.to_string()])
}

impl Testbed {
    /// Starts the controller and the splayds; `progress` hears how many of these are there.
    pub fn start(
        plan: Plan,
        interrupted: impl Fn() -> bool,
        mut progress: impl FnMut(usize),
    ) -> Result<Testbed, Failure> {
        ports(&plan, 0)?;
        let (program, splayd) = (beside("splay-controller")?, beside("splayd")?);
        let data = plan.folder.join("controller");
        for folder in [&plan.folder, &data] {
            std::fs::create_dir_all(folder)
                .map_err(|source| Failure::Write { path: folder.clone(), source })?;
        }
        let stop = || if interrupted() { Err(Failure::Interrupted) } else { Ok(()) };
        let output = plan.folder.join("controller.log");
        // What an earlier testbed in this folder left would be taken for an answer.
        let _ = std::fs::remove_file(data.join("url"));
        let mut controller =
            Process::start("controller", &program, controller_arguments(&data, plan.listen), &output)?;
        let (url, fingerprint) = address(&mut controller, &data, &stop)?;
        let session = log_in(&url, &fingerprint, &program, &data)?;
        let client = Client::new(&url, &fingerprint, Some(session.token.clone()))?;
        let new = NewJoinToken { uses: plan.splayds, expires_in: TOKEN_SECONDS, url: Some(url.clone()) };
        let token: CreatedJoinToken = client.send("POST", "/join-tokens", &new)?;
        // In a file: command lines are for everybody to read.
        let token_file = plan.folder.join("join-token");
        write(&token_file, &token.join)?;
        let mut splayds = Vec::new();
        for index in 0..plan.splayds {
            splayds.push(start_splayd(&plan, &splayd, index, &token_file)?);
        }
        let mut testbed = Testbed { plan, controller, splayds, url, fingerprint, session };
        let mut shown = 0;
        loop {
            stop()?;
            let online = testbed.online()?.len();
            if online != shown {
                progress(online);
                shown = online;
            }
            if online >= testbed.splayds.len() {
                return Ok(testbed);
            }
            for splayd in &mut testbed.splayds {
                if let Some(status) = splayd.ended() {
                    return Err(Failure::Testbed(format!(
                        "{} ended ({status}): {}",
                        splayd.name,
                        splayd.last_words()
                    )));
                }
            }
            std::thread::sleep(LOOK * 2);
        }
    }

    /// The splayds that are there.
    pub fn online(&self) -> Result<Vec<Splayd>, Failure> {
        let mut all: Vec<Splayd> = self.client()?.get("/splayds")?;
        all.retain(|splayd| splayd.state == SplaydState::Online);
        Ok(all)
    }

    /// Asks as the administrator.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url, &self.fingerprint, Some(self.session.token.clone()))
    }

    /// Starts again what has ended by itself.
    pub fn look_after(&mut self) -> Result<(), Failure> {
        // The controller comes back where it was.
        let address = self.url.trim_start_matches("https://").parse().unwrap_or(self.plan.listen);
        let listen = SocketAddr::new(self.plan.listen.ip(), address.port());
        let again = controller_arguments(&self.plan.folder.join("controller"), listen);
        let controller = std::iter::once((&mut self.controller, Some(again)));
        for (process, arguments) in controller.chain(self.splayds.iter_mut().map(|splayd| (splayd, None))) {
            let Some(status) = process.ended() else { continue };
            let told = told(status);
            if !process.deserves_another() {
                let words = process.last_words();
                return Err(Failure::Testbed(format!(
                    "{} {told} right after its start: {words}",
                    process.name
                )));
            }
            complain(&format!("{} {told}; starting it again", process.name));
            process.restart(arguments)?;
        }
        Ok(())
    }

    /// Ends everything in order.
    pub fn end(mut self) {
        self.splayds.iter_mut().for_each(Process::ask_to_end);
        let latest = Instant::now() + FAREWELL;
        self.splayds.iter_mut().for_each(|splayd| splayd.wait(latest));
        self.controller.ask_to_end();
        self.controller.wait(Instant::now() + FAREWELL);
    }
}

fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (_, Some(code)) => format!("ended with status {code}"),
        _ => "ended".to_owned(),
    }
}

/// Waits for the controller's address, which it writes into its folder.
fn address(
    controller: &mut Process,
    data: &Path,
    stop: &impl Fn() -> Result<(), Failure>,
) -> Result<(String, String), Failure> {
    let begun = Instant::now();
    loop {
        stop()?;
        if let Some(status) = controller.ended() {
            return Err(Failure::Testbed(format!(
                "the controller {}: {}",
                told(status),
                controller.last_words()
            )));
        }
        if let Ok(url) = std::fs::read_to_string(data.join("url"))
            && splay_protocol::join::is_controller_url(url.trim())
        {
            let url = url.trim().to_owned();
            let (tls, shown) = splay_trust::asking_config();
            // Its certificate is what its own process on this machine shows.
            let asked =
                Client::with(&url, std::sync::Arc::new(tls), None).get::<serde_json::Value>("/health");
            if let (Ok(_), Some(fingerprint)) = (asked, shown.get()) {
                return Ok((url, fingerprint.clone()));
            }
        }
        if begun.elapsed() > CONTROLLER {
            let words = controller.last_words();
            return Err(Failure::Testbed(format!("the controller does not answer: {words}")));
        }
        std::thread::sleep(LOOK);
    }
}

/// A session of the administrator, whose password is set anew and kept by nobody.
fn log_in(url: &str, fingerprint: &str, program: &Path, data: &Path) -> Result<LoggedIn, Failure> {
    let password = format!("{:032x}", rand::random::<u128>());
    let failed = |why: String| Failure::Testbed(format!("set the administrator's password: {why}"));
    let mut child = Command::new(program)
        .args(["user", "passwd", "admin", "--password-stdin", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("start {}: {error}", program.display())))?;
    let mut input = child.stdin.take().expect("it is a pipe");
    // Where it cannot be written the process has ended, and tells why.
    let _ = writeln!(input, "{password}");
    drop(input);
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let login = Login { user: "admin".to_owned(), password };
    Client::new(url, fingerprint, None)?.send("POST", "/login", &login)
}

fn start_splayd(plan: &Plan, program: &Path, index: u32, token: &Path) -> Result<Process, Failure> {
    let name = format!("splayd-{}", index + 1);
    let data = plan.folder.join(&name);
    std::fs::create_dir_all(&data).map_err(|source| Failure::Write { path: data.clone(), source })?;
    // A folder that an earlier testbed left may belong to a controller at another port.
    let _ = std::fs::remove_file(data.join("controller.json"));
    let (first, last) = ports(plan, index)?;
    let config = plan.folder.join(format!("{name}.toml"));
    let seats = plan.seats;
    let text = format!(
        "name = {name:?}\ndata_directory = {data:?}\naddress = \"127.0.0.1\"\nports = \"{first}-{last}\"\n\
         max_instances = {seats}\ngrace_seconds = 2\n[labels]\nup = \"{}\"\n",
        index + 1
    );
    write(&config, &text)?;
    let words = arguments(&[
        "run",
        "--config",
        &config.to_string_lossy(),
        "--join",
        &format!("@{}", token.display()),
    ]);
    Process::start(&name, program, words, &plan.folder.join(format!("{name}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(splayds: u32, seats: u32) -> Plan {
        let listen = "127.0.0.1:0".parse().unwrap();
        Plan { splayds, seats, first_port: 22_000, listen, folder: PathBuf::new() }
    }

    #[test]
    fn ports_of_splayds_are_disjoint() {
        for plan in [plan(10, 100), plan(100, 100), plan(1, 5)] {
            let all: Vec<_> = (0..plan.splayds).map(|index| ports(&plan, index).unwrap()).collect();
            assert!(all.windows(2).all(|two| two[0].1 < two[1].0));
            assert!(
                all.iter()
                    .all(|(first, last)| u32::from(last - first) + 1 >= plan.seats && *last <= LAST_PORT)
            );
        }
        assert_eq!(ports_of_all(10, 100, 22_000).unwrap(), 22_000..=24_999);
        assert_eq!(ports(&plan(200, 100), 0).unwrap_err().status(), 2);
    }
}
