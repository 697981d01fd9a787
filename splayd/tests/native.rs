//! Native libraries of jobs on a real, confined splayd: allowed, not allowed, not what they should be.

mod fake;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fake::{Controller, Splayd, job};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use splay_protocol::session::*;

/// Needs no headers: the functions are those of Lua 5.1.
const SOURCE: &str = r#"
typedef struct lua_State lua_State;
extern double lua_tonumber(lua_State *L, int index);
extern void lua_pushnumber(lua_State *L, double number);
extern void lua_pushcclosure(lua_State *L, int (*function)(lua_State *), int upvalues);
static int twice(lua_State *L) { lua_pushnumber(L, 2 * lua_tonumber(L, 1)); return 1; }
int luaopen_tiny_math(lua_State *L) { lua_pushcclosure(L, twice, 0); return 1; }
"#;

const APP: &str = r#"require "splay.base"
local fine, module, reason = pcall(require, "tiny.math")
if fine and module then
  print("twice 21 is " .. module(21), require "tiny.math" == module)
else
  print(reason or module)
end
print(pcall(require, "other"))
"#;

/// The library, made by the compiler that LuaJIT is built with as well.
fn library(folder: &Path) -> Vec<u8> {
    let (source, object) = (folder.join("tiny.c"), folder.join("tiny.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&object).arg(&source).status();
    assert!(status.expect("a C compiler").success());
    std::fs::read(object).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Runs the program with a file that goes as its library; gives its lines, or why it was refused.
async fn run(first_port: u16, bytes: &[u8], allowed: &str, native: bool) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let config =
        format!("ports = \"{first_port}-{}\"\nnative_libraries = [\"{allowed}\"]\n", first_port + 19);
    let _splayd = Splayd::start(folder.path(), &config, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 1, APP);
    order.files.push(ShippedFile {
        path: "tiny.math.so".into(),
        sha256: sha256(bytes),
        bytes: bytes.len() as u64,
        native: native.then(|| "tiny.math".to_owned()),
    });
    controller.more_files.push(FilePart { sha256: sha256(bytes), offset: 0, data: ByteBuf::from(bytes) });
    if native && allowed != sha256(bytes) {
        session.send(ToSplayd::Deploy(order)).await;
        let refused = |event: &Event| match event {
            Event::DeployRefused(refused) => Some(refused.reason.clone()),
            _ => None,
        };
        return Err(controller.event(&mut session, refused).await);
    }
    controller.start(&mut session, &order, APP, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let ends = controller.ends();
    assert_eq!(ends[&1].ending, Ending::Finished, "{ends:#?}");
    Ok(controller.lines().into_iter().map(|(_, _, text)| text).collect())
}

#[tokio::test]
async fn a_library_that_job_and_host_name_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = library(folder.path());
    let lines = run(32_500, &bytes, &sha256(&bytes), true).await.unwrap();
    assert_eq!(lines[0], "twice 21 is 42\ttrue");
    assert_eq!(lines.last().unwrap(), "true\tnil\tnot permitted", "{lines:#?}");
}

#[tokio::test]
async fn a_library_that_the_host_does_not_allow_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = library(folder.path());
    let refused = run(32_520, &bytes, &"0".repeat(64), true).await.unwrap_err();
    assert_eq!(refused, "native library `tiny.math.so` is not allowed here");
    // One that only lies among the job's files is no library.
    let lines = run(32_520, &bytes, &sha256(&bytes), false).await.unwrap();
    assert!(lines.contains(&"not permitted".to_owned()), "{lines:#?}");
}

#[tokio::test]
async fn a_library_for_another_platform_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = library(folder.path());
    // ELF's machine: a MIPS.
    bytes[18..20].copy_from_slice(&[8, 0]);
    let lines = run(32_540, &bytes, &sha256(&bytes), true).await.unwrap();
    let told = "native library `tiny.math` is built for another platform (ELF machine 8, here ";
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:#?}");
}
