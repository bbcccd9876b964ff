//! Cron expressions: when the next time comes, in UTC. The only module that names the library for them.

use crate::error::RepeatError;
use crate::repeat::NEVER;
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Longest expression.
const BYTES_MAX: usize = 256;

const SECOND: u64 = 1_000_000;

/// What the fields are; the first may be left out.
const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of the month",
    "month",
    "day of the week",
];

/// Refuses an expression that says nothing, or whose time never comes.
/// `from` is the earliest that may be one of its times, in microseconds.
pub(crate) fn check(expression: &str, from: u64) -> Result<(), RepeatError> {
    let wrong = |(place, why)| RepeatError::Cron {
        expression: expression.to_owned(),
        place,
        why,
    };
    check_text(expression).map_err(wrong)?;
    parse(expression).map_err(|why| wrong(find_wrong(expression, &why)))?;
    if next(expression, from.saturating_sub(1)) == NEVER {
        let expression = expression.to_owned();
        return Err(RepeatError::NeverDue { expression });
    }
    Ok(())
}

fn check_text(expression: &str) -> Result<(), (usize, String)> {
    if expression.len() > BYTES_MAX {
        let why = format!("it has {} bytes, more than {BYTES_MAX}", expression.len());
        return Err((BYTES_MAX, why));
    }
    let mut characters = expression.char_indices();
    match characters.find(|(_, character)| !character.is_ascii() || character.is_ascii_control()) {
        Some((place, character)) => Err((place, format!("{character:?} stands for nothing"))),
        None => check_lists(expression),
    }
}

/// The library passes over what is empty in a list, and looks for a time of a field that names none for long.
fn check_lists(expression: &str) -> Result<(), (usize, String)> {
    for (place, field) in fields(expression) {
        if field.split(',').any(str::is_empty) {
            return Err((place, format!("something is missing in the list `{field}`")));
        }
    }
    Ok(())
}

fn parse(expression: &str) -> Result<Cron, CronError> {
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    parser.parse(expression)
}

/// Where an expression is wrong, from 0, and why: the library says only why.
fn find_wrong(expression: &str, why: &CronError) -> (usize, String) {
    let fields = fields(expression);
    if let Some((place, name)) = fields.first().filter(|(_, field)| field.starts_with('@')) {
        let known = "@hourly, @daily, @weekly, @monthly and @yearly";
        return (*place, format!("there is no `{name}`, but {known}"));
    }
    if !matches!(fields.len(), 5 | 6) {
        let end = expression.trim_end().len();
        let place = fields.get(6).map_or(end, |(place, _)| *place);
        let why = format!("it has {} fields, and not five or six", fields.len());
        return (place, why);
    }
    // The first field that is wrong by itself.
    let names = FIELDS.iter().skip(FIELDS.len() - fields.len());
    for (at, ((place, field), name)) in fields.iter().zip(names).enumerate() {
        let only = (0..fields.len()).map(|other| if other == at { field } else { "*" });
        let only: Vec<&str> = only.collect();
        if let Err(why) = parse(&only.join(" ")) {
            return (*place, format!("`{field}` is no {name} ({why})"));
        }
    }
    (0, why.to_string())
}

/// The fields, and where each begins.
fn fields(expression: &str) -> Vec<(usize, &str)> {
    let mut rest = 0;
    let mut place = |field: &str| {
        let found = expression.get(rest..).and_then(|text| text.find(field));
        let at = rest + found.unwrap_or_default();
        rest = at + field.len();
        at
    };
    let fields = expression.split_whitespace();
    fields.map(|field| (place(field), field)).collect()
}

/// The first time of an expression after a time, both in microseconds; [`NEVER`] if there is none.
pub(crate) fn next(expression: &str, after: u64) -> u64 {
    let seconds = i64::try_from(after / SECOND).ok();
    let after = seconds.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    let found = || {
        parse(expression)
            .ok()?
            .find_next_occurrence(&after?, false)
            .ok()
    };
    let found = found().and_then(|time| u64::try_from(time.timestamp()).ok());
    found.map_or(NEVER, |seconds| seconds.saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::{NEVER, RepeatError, SECOND, check, next};

    const DAY: u64 = 86_400 * SECOND;

    #[test]
    fn the_next_time_is_after_the_given_one() {
        let nine = (9 * 3600 + 30 * 60) * SECOND;
        for expression in ["0 30 9 * * *", "30 9 * * *"] {
            assert_eq!(next(expression, 0), nine);
            assert_eq!(next(expression, nine - 1), nine);
            assert_eq!(next(expression, nine), nine + DAY);
        }
        assert_eq!(next("@daily", 5), DAY);
        assert_eq!(next("*/5 * * * * *", 4 * SECOND + 1), 5 * SECOND);
        // The first of January 1970 was a Thursday.
        assert_eq!(next("0 0 0 * * THU", 0), 7 * DAY);
        assert_eq!(next("0 0 0 * * *", u64::MAX), NEVER);
        assert_eq!(next("0 0 0 * * *", u64::MAX / 2), NEVER);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |expression: &str| match check(expression, 0) {
            Err(RepeatError::Cron { place, why, .. }) => (place, why),
            other => unreachable!("{expression}: {other:?}"),
        };
        assert_eq!(told("0 61 * * * *").0, 2);
        assert!(told("0 61 * * * *").1.starts_with("`61` is no minute"));
        assert_eq!(told("61 * * * *").0, 0);
        assert!(told("61 * * * *").1.starts_with("`61` is no minute"));
        assert_eq!(told(" 0 0  0 * 13 *").0, 10);
        assert_eq!(told("0 0 0 * * FRO").0, 10);
        assert_eq!(told("0 0 0 * * MON *").0, 14);
        assert_eq!(told("* * *").0, 5);
        assert_eq!(told("").0, 0);
        assert_eq!(told("@every 5s").0, 0);
        assert_eq!(told("0 ü * * *").0, 2);
        assert_eq!(told("0 0\n* * *").0, 3);
        assert_eq!(told(&"1,".repeat(200)).0, 256);
        for (expression, place) in [
            (", * * * * *", 0),
            ("0 , * * * *", 2),
            ("0 0 1, * * *", 4),
            ("0 0 0 * * MON,,FRI", 10),
        ] {
            assert_eq!(told(expression).0, place);
            assert!(told(expression).1.starts_with("something is missing"));
        }
        assert_eq!(
            check("0 0 30 2 *", 0).map_err(|why| why.to_string()),
            Err(
                "the cron expression `0 0 30 2 *` names a time that never comes; say another day"
                    .to_owned()
            )
        );
        let year_6000 = 127_174_579_200 * SECOND;
        assert!(check("@daily", 1).is_ok() && check("@daily", year_6000).is_err());
    }
}
