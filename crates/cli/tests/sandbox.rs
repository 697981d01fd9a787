//! `splay run --sandbox`: what a program cannot do, seen from outside.

mod support;

use support::Place;

#[test]
fn a_sandboxed_program_has_neither_arguments_nor_the_machine() {
    // The name stays inside the temporary folder: were there no sandbox, nothing else is touched.
    let place = Place::with(
        "print(type(arg), type(os.execute), type(io.popen), type(debug.getinfo))\n\
         local f = assert(io.open('outside', 'w')) f:write('x') f:close()\n\
         print(io.open('outside'):read('*a'))",
    );
    let outcome = place.run(2, &["--sandbox"]).ended(0);
    assert_eq!(
        outcome.lines().iter().filter(|line| **line == "nil\tnil\tnil\tnil").count(),
        2,
        "{outcome:?}"
    );
    // Files are the instance's own: flat, named by a digest, inside its folder.
    for instance in 1..=2 {
        let folder = place.folder_of_results().join(format!("files/{instance}"));
        let names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(names[0].to_string_lossy().starts_with("pfs_"), "{names:?}");
    }
    assert!(!place.path().join("outside").exists());
}
