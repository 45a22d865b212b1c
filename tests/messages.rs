//! The compiler's messages for mistakes that newcomers make, and programs that must compile.
//!
//! Each file in `tests/messages` is a program with one mistake. Its top lists what its errors
//! contain and do not contain. One `cargo check` compiles all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kernel::{Builder, Kernel, Result, TaskCancelled, TaskGroup, testing, yield_now};

/// The programs, by name.
fn mistakes() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let files = fs::read_dir(folder).expect("the programs");
    let paths = files.map(|entry| entry.expect("a readable folder").path());
    paths.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path)).collect()
}

/// Makes a package of the programs, and returns its manifest.
fn package(mistakes: &BTreeMap<String, PathBuf>) -> PathBuf {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages");
    fs::create_dir_all(&folder).unwrap();
    let mut manifest = format!(
        "[package]\nname = 'messages'\nversion = '0.0.0'\nedition = '2024'\nautobins = false\n\
         [workspace]\n[dependencies]\ncurium = {{ path = '{root}', features = ['cores'] }}\n"
    );
    for (name, path) in mistakes {
        manifest += &format!("[[bin]]\nname = '{name}'\npath = '{}'\n", path.display());
    }
    let lock = Path::new(root).join("Cargo.lock");
    if lock.exists() {
        fs::copy(lock, folder.join("Cargo.lock")).unwrap();
    }
    let path = folder.join("Cargo.toml");
    fs::write(&path, manifest).unwrap();
    path
}

/// The compiler's output for all programs.
fn compile(manifest: &Path) -> String {
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--keep-going", "--bins", "--quiet", "--color", "never"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(manifest.with_file_name("target"))
        // Flags for the tests, for example of a sanitizer, do not apply to this compilation.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    String::from_utf8_lossy(&checked.stderr).into_owned()
}

/// The errors of each program: those whose first location is in its file.
fn errors_by_program(said: &str) -> BTreeMap<String, String> {
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    let mut text = String::new();
    // An extra line ends the last error.
    for line in said.lines().chain(["error"]) {
        if line.starts_with("error") || line.starts_with("warning") {
            if let Some(program) = program_of(&text).filter(|_| text.starts_with("error")) {
                errors.entry(program).or_default().push_str(&text);
            }
            text.clear();
        }
        text.push_str(line);
        text.push('\n');
    }
    errors
}

fn program_of(error: &str) -> Option<String> {
    let place = error.lines().find_map(|line| line.trim_start().strip_prefix("--> "))?;
    let file = place.split(".rs:").next()?;
    Some(Path::new(file).file_stem()?.to_string_lossy().into_owned())
}

/// The faults in the errors of a program.
fn faults(name: &str, source: &str, errors: Option<&String>) -> Vec<String> {
    let Some(errors) = errors else {
        return vec![format!("{name} compiles")];
    };
    let mut faults = Vec::new();
    let mut checks = 0;
    for line in source.lines() {
        if let Some(phrase) = line.strip_prefix("//~ contains: ") {
            checks += 1;
            if !errors.contains(phrase) {
                faults.push(format!("{name} lacks: {phrase}"));
            }
        } else if let Some(phrase) = line.strip_prefix("//~ lacks: ") {
            if errors.contains(phrase) {
                faults.push(format!("{name} contains: {phrase}"));
            }
        }
    }
    if checks == 0 {
        faults.push(format!("{name} names nothing that its errors contain"));
    }
    if !faults.is_empty() {
        faults.push(errors.clone());
    }
    faults
}

/// Each mistake is an error, and the error says what to do.
#[test]
fn each_mistake_gets_its_message() {
    let mistakes = mistakes();
    assert!(!mistakes.is_empty(), "no programs found");
    let said = compile(&package(&mistakes));
    let errors = errors_by_program(&said);
    assert!(!errors.is_empty(), "no program was compiled:\n{said}");
    let mut all = Vec::new();
    for (name, path) in &mistakes {
        let source = fs::read_to_string(path).unwrap();
        all.extend(faults(name, &source, errors.get(name)));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

async fn parent() -> Result<i32> {
    yield_now().await?;
    Ok(1)
}

/// K5: every form of `run` takes a function, an async closure that borrows, a closure that returns
/// a future, and a function that a generic function passes on.
#[test]
fn run_takes_every_kind_of_async_function() {
    fn passed_on<T>(main: impl AsyncFnOnce() -> T) -> T {
        testing::run(main)
    }
    let mut runs = 0;
    assert_eq!(kernel::run(parent), Ok(1));
    assert_eq!(Kernel::new().unwrap().run(parent), Ok(1));
    assert_eq!(Builder::default().run(parent), Ok(1));
    assert_eq!(testing::run_with(Kernel::builder().seed(1), parent), Ok(1));
    assert_eq!(passed_on(parent), Ok(1));
    let borrows = passed_on(async || {
        runs += 1;
        yield_now().await?;
        runs += 1;
        Ok::<_, TaskCancelled>(runs)
    });
    assert_eq!(borrows, Ok(2));
    let moved = String::from("moved");
    assert_eq!(kernel::run(|| async move { moved.len() }), 5);
}

/// G1: the body of a group may be a closure that returns a future, and the compiler knows the type
/// of its parameter.
#[test]
fn a_closure_that_returns_a_future_is_the_body_of_a_group() {
    let sum = testing::run(async || {
        TaskGroup::<TaskCancelled>::scope(|g| async move {
            let (one, two) = (g.spawn(parent()), g.spawn(async { Ok(2) }));
            Ok(one.join().await?.unwrap() + two.join().await?.unwrap())
        })
        .await
    });
    assert_eq!(sum, Ok(3));
}
