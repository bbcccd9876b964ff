//! The parsers of the example, line by line.

use crate::parse::{Format, Severity, parse};

#[track_caller]
fn fields(line: &str, format: Format, time: &str, severity: Severity, source: &str, text: &str) {
    let record = parse(line.as_bytes()).unwrap();
    assert_eq!(record.format, format);
    assert_eq!((record.time, record.severity), (time, severity));
    assert_eq!((record.source, record.text), (source, text));
}

#[test]
fn the_four_formats_are_taken_apart() {
    fields(
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6",
        Format::Apache,
        "Sun Dec 04 04:47:44 2005",
        Severity::Error,
        "",
        "mod_jk child in error state 6",
    );
    fields(
        "081109 203615 148 WARN dfs.FSNamesystem: BLOCK* x: y",
        Format::Hdfs,
        "081109 203615",
        Severity::Warning,
        "dfs.FSNamesystem",
        "BLOCK* x: y",
    );
    fields(
        "Dec  1 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 10.0.0.1",
        Format::OpenSsh,
        "Dec  1 06:55:46",
        Severity::Warning,
        "sshd",
        "Invalid user webmaster from 10.0.0.1",
    );
    fields(
        "2017-05-16 00:00:00.008 25746 INFO nova.wsgi [req-1 - -] GET /v2",
        Format::OpenStack,
        "2017-05-16 00:00:00.008",
        Severity::Info,
        "nova.wsgi",
        "[req-1 - -] GET /v2",
    );
    let named = "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 7 INFO nova.wsgi [-] x";
    assert_eq!(parse(named.as_bytes()).unwrap().process, Some(7));
    let module = "[Sun Dec 04 04:47:44 2005] [core:warn] text";
    assert_eq!(parse(module.as_bytes()).unwrap().source, "core");
}

#[test]
fn what_merely_resembles_a_format_is_refused() {
    for line in [
        "",
        "   ",
        "[Sun Dec 04 04:47:44 2005] [shouting] text",
        "[Sun Dec 04 2005] [error] text",
        "081109 20361 148 INFO dfs.DataNode: text",
        "081109 203615 148 LOUD dfs.DataNode: text",
        "081109 203615 - INFO dfs.DataNode: text",
        "Dec 10 06:55:46 host sshd: text",
        "Nod 10 06:55:46 host sshd[1]: text",
        "2017-05-16 00:00:00 25746 INFO nova.wsgi text",
        "other 2017-05-16 00:00:00.008 25746 INFO nova.wsgi text",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line}");
    }
    assert!(parse(b"\xff").is_err());
}

#[test]
fn any_line_has_a_severity() {
    for (line, severity) in [
        (&b"12:00 ERROR something"[..], Severity::Error),
        (b"level=warn msg=x", Severity::Warning),
        (b"plain words", Severity::Unknown),
        (b"", Severity::Unknown),
        (b"ERROR and then \xff", Severity::Error),
        (b"\xff ERROR", Severity::Unknown),
        (b"an errorless day", Severity::Unknown),
    ] {
        assert_eq!(
            Severity::of(line),
            severity,
            "{}",
            String::from_utf8_lossy(line)
        );
    }
}
