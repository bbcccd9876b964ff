//! The example's reader of lines.

use crate::lines::{LONGEST, Lines};

fn texts(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
    Lines::new(input)
        .map(|line| line.unwrap())
        .map(|line| (line.number, line.bytes))
        .collect()
}

#[test]
fn line_ends_of_both_kinds_are_taken_off() {
    let lines = texts(b"a\r\nb\n\n\r\nc\rd\r");
    let expected: [&[u8]; 5] = [b"a", b"b", b"", b"", b"c\rd\r"];
    assert_eq!(lines.len(), 5);
    for (at, (line, expected)) in lines.iter().zip(expected).enumerate() {
        assert_eq!((line.0, line.1.as_slice()), (at as u64 + 1, expected));
    }
    assert!(texts(b"").is_empty());
}

#[test]
fn a_longer_line_is_cut_and_the_next_one_is_whole() {
    let input = [vec![b'x'; LONGEST + 10], b"\nnext\n".to_vec()].concat();
    let lines: Vec<_> = Lines::new(input.as_slice())
        .map(|line| line.unwrap())
        .collect();
    assert_eq!(lines[0].bytes.len(), LONGEST);
    assert_eq!(lines[0].length, LONGEST as u64 + 10);
    assert_eq!(lines[1].bytes, b"next");
    let taken: u64 = lines.iter().map(|line| line.taken).sum();
    assert_eq!(taken, input.len() as u64);
}
