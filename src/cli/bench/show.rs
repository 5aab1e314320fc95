//! How figures are written, in the table and on the page alike.

use super::json::Record;
use super::row::Row;
use crate::cli::size;

/// A number with as many digits as say something: four, of a small one three.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "none".to_owned()
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.3}")
    } else if size >= 0.001 {
        format!("{value:.4}")
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.1e}")
    }
}

/// A number as short as it can be: what somebody chose, such as a goal.
#[must_use]
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "0" && value != 0.0 {
        return number(value);
    }
    text.to_owned()
}

/// A number and what it counts: a ratio is `1.03x`, anything else has a space before its unit.
#[must_use]
pub fn unit(number: &str, unit: &str) -> String {
    match unit {
        _ if number == "none" => number.to_owned(),
        "x" => format!("{number}x"),
        _ => format!("{number} {unit}"),
    }
}

/// The figure of a row.
#[must_use]
pub fn figure(row: &Row) -> String {
    unit(&number(row.figure), &row.unit)
}

/// The standard error of a row's ratio, in hundredths of it; `-` where nothing was repeated.
#[must_use]
pub fn error(row: &Row) -> String {
    row.error
        .map_or_else(|| "-".to_owned(), |part| format!("{:.1}%", part * 100.0))
}

/// Seconds in milliseconds.
#[must_use]
pub fn millis(seconds: f64) -> String {
    let millis = seconds * 1e3;
    match millis.abs() {
        size if size >= 1000.0 => format!("{millis:.0}"),
        size if size >= 100.0 => format!("{millis:.1}"),
        size if size >= 1.0 => format!("{millis:.2}"),
        _ => format!("{millis:.4}"),
    }
}

/// A part of one in hundredths.
#[must_use]
pub fn percent(part: f64) -> String {
    format!("{:.0}%", part * 100.0)
}

/// 10^9 bytes a second.
#[must_use]
pub fn rate(rate: f64) -> String {
    match rate {
        rate if rate >= 100.0 => format!("{rate:.0}"),
        rate if rate >= 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

/// Whether a goal is met; with a question mark where another run may well say otherwise.
#[must_use]
pub fn met(row: &Row) -> &'static str {
    match (row.meets(), row.is_close()) {
        (Some(true), false) => "yes",
        (Some(true), true) => "yes?",
        (Some(false), false) => "over",
        (Some(false), true) => "over?",
        (None, _) => "-",
    }
}

/// What figures depend on, as sentences.
#[must_use]
pub fn facts(record: &Record) -> Vec<String> {
    let machine = &record.machine;
    let mut facts = vec![
        format!(
            "{} ({}, {}); driver {} {}",
            machine.adapter, machine.backend, machine.kind, machine.driver, machine.driver_info
        ),
        format!(
            "{} cores of {}; {}{} {}; host mechanism {}; pages of {}",
            machine.cores,
            machine.cpu,
            machine
                .memory
                .map_or_else(String::new, |bytes| format!("{}; ", size::show(bytes))),
            machine.os,
            machine.arch,
            machine.host_mechanism,
            size::show(machine.page_size),
        ),
        format!(
            "gmem {}, commit {}; {}; seed {}{}",
            record.version,
            record.commit,
            record.date,
            record.seed,
            if record.quick { "; quick" } else { "" },
        ),
    ];
    if machine.debug_build {
        facts.push(
            "gmem was built with debug assertions: its times say little. Build with --release."
                .to_owned(),
        );
    }
    if machine.traced {
        facts.push("The run was traced, which takes time too.".to_owned());
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::measured::Measured;

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        for (value, text) in [
            (1.0304, "1.030"),
            (12.345, "12.3"),
            (1234.5, "1234"),
            (0.15, "0.1500"),
            (0.00012, "1.2e-4"),
            (0.0, "0"),
            (f64::NAN, "none"),
            (f64::INFINITY, "none"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (1.03, "1.03"),
            (16.0, "16"),
            (100.0, "100"),
            (0.00001, "1.0e-5"),
            (0.0, "0"),
            (f64::NAN, "none"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn units_and_times() {
        assert_eq!(unit("1.03", "x"), "1.03x");
        assert_eq!(unit("15", "B/page"), "15 B/page");
        assert_eq!(
            (millis(1.5), millis(0.0123), millis(0.000_002)),
            ("1500".into(), "12.30".into(), "0.0020".into())
        );
        assert_eq!((percent(0.034), percent(1.2)), ("3%".into(), "120%".into()));
        assert_eq!(
            (rate(4.25), rate(123.4), rate(12.34)),
            ("4.25".into(), "123".into(), "12.3".into())
        );
        let measured = |error| Measured {
            error,
            ..Measured::of(vec![vec![([1.2; 2], [1.0; 2])]])
        };
        let row = |error| Row::timed("P1", "case", "baseline", measured(error));
        let said = |error, goal| met(&row(error).goal(goal));
        assert_eq!([said(0.01, 1.3), said(0.01, 1.1)], ["yes", "over"]);
        assert_eq!([said(0.05, 1.3), said(0.05, 1.1)], ["yes?", "over?"]);
        assert_eq!(met(&row(0.01)), "-");
    }
}
