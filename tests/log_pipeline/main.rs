//! The `log_pipeline` example, killed and resumed: G1, G3, G4, G5 and G8 as a user would see them.
//!
//! `cargo test` builds the examples beside the tests. The real logs are used as well when
//! `RIVERBED_LOGS` names a folder of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[path = "../../examples/log_pipeline/lines.rs"]
#[allow(dead_code, unreachable_pub)]
mod lines;
#[path = "../../examples/log_pipeline/parse.rs"]
#[allow(dead_code, unreachable_pub)]
mod parse;
mod parsers;
mod reading;

/// Kills that each of the two tests makes.
const KILLS: u32 = 20;

/// The example, or `None` with a word when it is not built.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/<test> stands beside target/<profile>/examples.
    let profile = test.parent().and_then(Path::parent).unwrap();
    let name = format!("log_pipeline{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(name);
    if program.exists() {
        return Some(program);
    }
    eprintln!("skipped: the example log_pipeline is not built; run `cargo build --examples` first");
    None
}

/// Input whose totals are known.
struct Input {
    files: Vec<PathBuf>,
    lines: u64,
    /// Warnings and errors.
    alerts: u64,
    /// Lines of no known format.
    hopeless: u64,
}

/// Writes a few thousand lines of the four formats, with some of none among them.
fn generate(folder: &Path, seed: u64) -> Input {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input {
        files: Vec::new(),
        lines: 0,
        alerts: 0,
        hopeless: 0,
    };
    for name in ["apache.log", "hdfs.log", "sshd.log", "nova.log"] {
        let mut text = String::new();
        for number in 0..random.u32(600..900) {
            let alert = random.u32(0..5) == 0;
            input.lines += 1;
            if random.u32(0..40) == 0 {
                input.hopeless += 1;
                writeln!(text, "-- rotated, part {number} of no format at all").unwrap();
                continue;
            }
            input.alerts += u64::from(alert);
            line(&mut text, name, number, alert);
        }
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        input.files.push(path);
    }
    input
}

fn line(text: &mut String, file: &str, number: u32, alert: bool) {
    let second = number % 60;
    match file {
        "apache.log" => {
            let level = if alert { "error" } else { "notice" };
            writeln!(
                text,
                "[Sun Dec 04 04:47:{second:02} 2005] [{level}] child {number} in slot 3"
            )
        }
        "hdfs.log" => {
            let level = if alert { "WARN" } else { "INFO" };
            // These logs come with two-byte line ends.
            write!(
                text,
                "081109 2036{second:02} {number} {level} dfs.DataNode: block {number}\r\n"
            )
        }
        "sshd.log" => {
            let what = if alert {
                "Failed password for root"
            } else {
                "Connection closed"
            };
            writeln!(
                text,
                "Dec {:>2} 06:55:{second:02} host sshd[{number}]: {what}",
                number % 28 + 1
            )
        }
        _ => {
            let level = if alert { "WARNING" } else { "INFO" };
            let time = format!("2017-05-16 00:00:{second:02}.008");
            writeln!(
                text,
                "nova-api.log {time} {number} {level} nova.wsgi [-] GET {number}"
            )
        }
    }
    .unwrap();
}

/// The numbers of the last line.
fn totals(output: &str) -> HashMap<String, u64> {
    let last = output.lines().last().expect("there is output");
    let pair = |word: &str| {
        let (name, number) = word.split_once('=').expect("name=number");
        (name.to_owned(), number.parse().expect("a number"))
    };
    let totals = last.split(' ').map(pair).collect::<HashMap<_, _>>();
    let names = [
        "lines",
        "published",
        "duplicates",
        "counted",
        "filtered",
        "parsed",
        "dead_lettered",
    ];
    let expected = names
        .map(|name| format!("{name}={}", totals[name]))
        .join(" ");
    assert_eq!(
        last, expected,
        "the last line has exactly these names in this order"
    );
    totals
}

fn command(program: &Path, store: &Path, batch: usize, files: &[PathBuf]) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--store")
        .arg(store)
        .args(["--batch", &batch.to_string(), "--steps"])
        .args(files);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What came of one run.
enum Ended {
    Killed,
    /// Its totals, and how many steps it took.
    Done(HashMap<String, u64>, u64),
}

/// Runs until it ends, or until it is killed on its step of this number. Its steps are the only thing
/// waited for, so where the kill falls among its threads and its writes is up to the scheduler.
fn run(mut command: Command, kill_at: Option<u64>) -> Ended {
    let mut child: Child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut steps, mut said, mut line) = (0, String::new(), String::new());
    while stderr.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("step ") {
            steps += 1;
        } else {
            said.push_str(&line);
        }
        if Some(steps) == kill_at {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            // It may have ended by itself just before.
            if !status.success() {
                return Ended::Killed;
            }
            break;
        }
        line.clear();
    }
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let mut output = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.success(),
        "it failed with {status}: {said}{rest}\n{output}"
    );
    Ended::Done(totals(&output), steps)
}

/// The sums that hold for every run over the same input.
fn check(totals: &HashMap<String, u64>, input: &Input) {
    assert_eq!(totals["lines"], input.lines, "{totals:?}");
    assert_eq!(
        totals["published"] + totals["duplicates"],
        input.lines,
        "{totals:?}"
    );
    assert_eq!(totals["counted"], input.lines, "{totals:?}");
    assert_eq!(totals["filtered"], input.alerts, "{totals:?}");
    assert_eq!(totals["dead_lettered"], input.hopeless, "{totals:?}");
    assert_eq!(
        totals["parsed"] + totals["dead_lettered"],
        input.lines,
        "{totals:?}"
    );
}

/// Kills runs over fresh stores until there were enough kills, and checks every run that completes.
fn kill_and_resume(program: &Path, input: &Input, seed: u64, batch: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    // A guess at first; then what the last whole run took.
    let (mut kills, mut round, mut longest) = (0, 0, 60);
    while kills < KILLS {
        round += 1;
        let store = folder.path().join(format!("round-{round}.riverbed"));
        let start = |kill_at| run(command(program, &store, batch, &input.files), kill_at);
        let kills_of_round = random.u32(2..=6);
        let mut killed = 0;
        while killed < kills_of_round {
            match start(Some(random.u64(1..=longest))) {
                Ended::Killed => killed += 1,
                // It was through before its turn to die.
                Ended::Done(totals, _) => {
                    check(&totals, input);
                    break;
                }
            }
        }
        kills += killed;
        let Ended::Done(totals, steps) = start(None) else {
            unreachable!("nobody kills this one")
        };
        check(&totals, input);
        longest = steps;
        let Ended::Done(again, _) = start(None) else {
            unreachable!("nobody kills this one")
        };
        check(&again, input);
        assert_eq!((again["published"], again["duplicates"]), (0, input.lines));
    }
    println!("{kills} kills in {round} rounds");
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_counts_nothing_twice() {
    let Some(program) = program() else { return };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let input = generate(folder.path(), seed);
    kill_and_resume(&program, &input, seed, 100);
}

#[test]
fn killed_with_everything_in_one_or_two_batches_it_loses_nothing() {
    let Some(program) = program() else { return };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let input = generate(folder.path(), seed);
    kill_and_resume(&program, &input, seed, 2_000);
}

#[test]
fn the_real_logs_survive_kills_too() {
    let Some(program) = program() else { return };
    let Some(folder) = std::env::var_os("RIVERBED_LOGS") else {
        eprintln!("skipped: RIVERBED_LOGS names no folder of logs");
        return;
    };
    let log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut input = Input {
        files: files.filter(log).collect(),
        lines: 0,
        alerts: 0,
        hopeless: 0,
    };
    assert!(!input.files.is_empty(), "RIVERBED_LOGS holds no .log file");
    // The example's own parsers are the judge here: what matters is that no line is lost or counted
    // twice.
    for file in &input.files {
        for line in lines::Lines::new(fs::File::open(file).unwrap()) {
            let line = line.unwrap().bytes;
            let severity = parse::Severity::of(&line);
            let alert = matches!(severity, parse::Severity::Warning | parse::Severity::Error);
            input.lines += 1;
            input.alerts += u64::from(alert);
            input.hopeless += u64::from(parse::parse(&line).is_err());
        }
    }
    let seed = fastrand::u64(..);
    println!(
        "seed {seed}, {} lines, {} hopeless",
        input.lines, input.hopeless
    );
    kill_and_resume(&program, &input, seed, 500);
}

#[test]
fn any_input_will_do() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let long = [vec![b'x'; 5 << 20], b"\nshort".to_vec()].concat();
    let files = [
        place(
            "not text.log",
            b"\xff\xfe\x00\xff\nERROR in no format\xff\n\xc3\x28\n",
        ),
        place("long.log", &long),
        place("empty.log", b""),
        place("blank lines.log", b"\n\n\r\n"),
        place(
            "no end.log",
            b"[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6",
        ),
        // The same name in two folders: ids have full paths, so no line passes for another.
        place(
            "one/same.log",
            b"081109 203615 148 INFO dfs.DataNode: the same text\n",
        ),
        place(
            "two/same.log",
            b"081109 203615 148 INFO dfs.DataNode: the same text\n",
        ),
    ];
    let store = folder.path().join("store");
    let Ended::Done(totals, _) = run(command(&program, &store, 10, &files), None) else {
        unreachable!("nobody kills this one")
    };
    let input = Input {
        files: files.to_vec(),
        lines: 11,
        alerts: 2,
        hopeless: 8,
    };
    check(&totals, &input);
}

#[test]
fn standard_input_is_read() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&program, &folder.path().join("store"), 2, &["-".into()]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in 1..=5 {
        writeln!(stdin, "081109 203615 {number} WARN dfs.DataNode: text").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let totals = totals(&String::from_utf8(output.stdout).unwrap());
    check(
        &totals,
        &Input {
            files: Vec::new(),
            lines: 5,
            alerts: 5,
            hopeless: 0,
        },
    );
}

#[test]
fn a_missing_file_fails_before_anything_is_stored() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let output = command(&program, &store, 10, &[folder.path().join("none.log")])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.log"));
    assert!(!store.exists());
}
