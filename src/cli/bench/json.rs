//! The record of a run as JSON: its rows, the machine, and when and of which commit it was. It is read back to draw it again.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::row::Row;

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What every case came to, in the order they were run.
    pub rows: Vec<Row>,
    /// The groups that were run.
    #[serde(default)]
    pub groups: Vec<Title>,
    /// What was not measured here, and why: rows are missing.
    #[serde(default)]
    pub left_out: Vec<Failed>,
    /// Groups that failed: rows of theirs may be missing.
    #[serde(default)]
    pub failed: Vec<Failed>,
    /// Where it was run.
    #[serde(flatten)]
    pub machine: Machine,
    /// When it began, in UTC.
    #[serde(default)]
    pub date: String,
    /// The commit that gmem was built of, with `-dirty` where its sources were changed; `unknown` where nobody knows.
    #[serde(default)]
    pub commit: String,
    /// gmem's version.
    #[serde(default)]
    pub version: String,
    /// Whether there were fewer readings of each case.
    #[serde(default)]
    pub quick: bool,
    /// The seed of generated data.
    #[serde(default)]
    pub seed: u64,
    /// How long all of it took.
    #[serde(default)]
    pub seconds: f64,
}

/// What a group is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// `P1` and so on.
    pub id: String,
    /// In a few words.
    pub title: String,
}

/// A group that failed, or what of it was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// `P1` and so on.
    pub id: String,
    /// What went wrong.
    pub reason: String,
}

/// The rows of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'a> {
    /// `P1` and so on.
    pub id: &'a str,
    /// In a few words; empty where nobody said.
    pub title: &'a str,
    /// Its rows.
    pub rows: Vec<&'a Row>,
}

impl Group<'_> {
    /// What all of its rows are compared with, if that is one thing.
    #[must_use]
    pub fn baseline(&self) -> Option<&str> {
        let first = self.rows.first()?.baseline.as_str();
        let same = self.rows.iter().all(|row| row.baseline == first);
        (same && !first.is_empty()).then_some(first)
    }
}

/// A record that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no such file.
    #[error("{path:?} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path:?} is no record of `gmem bench --json`: {source}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Record {
    /// Reads what `--json` wrote.
    ///
    /// # Errors
    /// When there is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let file = File::open(path).map_err(|source| RecordError::Io {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_reader(BufReader::new(file)).map_err(|source| RecordError::Other {
            path: path.to_owned(),
            source,
        })
    }

    /// Adds a row. One of the same case, of an earlier sitting, becomes one with it. Gives what the case came to so far.
    pub fn add(&mut self, row: Row) -> &Row {
        let same = |other: &Row| (&other.id, &other.case) == (&row.id, &row.case);
        let at = match self.rows.iter().position(same) {
            Some(at) => {
                self.rows[at] = self.rows[at].clone().and_later(row);
                at
            }
            None => {
                self.rows.push(row);
                self.rows.len() - 1
            }
        };
        &self.rows[at]
    }

    /// Whether a group failed.
    #[must_use]
    pub fn has_failed(&self, id: &str) -> bool {
        self.failed.iter().any(|failed| failed.id == id)
    }

    /// The rows by group, groups in the order of their numbers.
    #[must_use]
    pub fn by_group(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|group| group.id == row.id) {
                Some(group) => group.rows.push(row),
                None => {
                    let titled = self.groups.iter().find(|titled| titled.id == row.id);
                    groups.push(Group {
                        id: &row.id,
                        title: titled.map_or("", |titled| &titled.title),
                        rows: vec![row],
                    });
                }
            }
        }
        groups.sort_by_key(|group| number(group.id));
        groups
    }

    /// Rows over their goal.
    #[must_use]
    pub fn over(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.meets() == Some(false))
            .count()
    }

    /// Rows whose results were wrong.
    #[must_use]
    pub fn unverified(&self) -> usize {
        self.rows.iter().filter(|row| !row.verified).count()
    }

    /// How many rows, how many of them over their goal and not verified, how long; in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        let mut text = format!(
            "{}: {} over their goal, {} not verified; {:.0} s",
            count(self.rows.len(), "row"),
            self.over(),
            self.unverified(),
            self.seconds,
        );
        if !self.left_out.is_empty() {
            text += &format!("; {} left out", count(self.left_out.len(), "part"));
        }
        if !self.failed.is_empty() {
            text += &format!("; {} failed", count(self.failed.len(), "group"));
        }
        text
    }
}

/// The number in `P12`; ids without one come last.
fn number(id: &str) -> u32 {
    id.trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap_or(u32::MAX)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::bench::measured::Measured;
    use crate::cli::report;

    /// A record of some rows in two groups, of a machine that there is not.
    pub fn record() -> Record {
        let measured = Measured::of(vec![vec![
            ([0.012, 0.0132], [0.010, 0.011]),
            ([0.012; 2], [0.010; 2]),
        ]]);
        Record {
            rows: vec![
                Row::timed("P1", "saxpy", "plain wgpu", measured.clone())
                    .goal(1.03)
                    .bytes(48 << 20)
                    .verified(true),
                Row::timed("P1", "tiled matrix product", "plain wgpu", measured)
                    .goal(1.5)
                    .bytes(12 << 20)
                    .verified(true)
                    .note("a remark"),
                Row::counted("P9", "1 TiB", "a <table> of \"pointers\" & co", 8.0, 16.0)
                    .figure(15.5, "B/page")
                    .goal(16.0)
                    .note("a remark"),
            ],
            groups: vec![Title {
                id: "P1".to_owned(),
                title: "warm, fits".to_owned(),
            }],
            machine: Machine {
                adapter: "Some <GPU>".to_owned(),
                backend: "vulkan".to_owned(),
                cores: 2,
                memory: Some(16 << 30),
                ..Machine::default()
            },
            date: "2025-06-30T12:00:00Z".to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            version: "1.2.3".to_owned(),
            seconds: 61.4,
            ..Record::default()
        }
    }

    #[test]
    fn a_case_has_one_row_however_often_it_is_measured() {
        let mut record = record();
        let before = record.rows.len();
        let again = record.rows[1].clone();
        assert_eq!(record.add(again).sittings.len(), 2);
        let other = Row::counted("P9", "another", "baseline", 1.0, 1.0);
        assert_eq!(record.add(other).case, "another");
        assert_eq!(record.rows.len(), before + 1);
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let path = std::env::temp_dir().join(format!("gmem-{}-record.json", std::process::id()));
        report::write(&path, &record()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let back = Record::read(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(back.unwrap(), record());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in [
            "rows",
            "adapter",
            "backend",
            "driver",
            "driver_info",
            "cores",
            "cpu",
            "memory",
            "date",
            "commit",
            "version",
            "quick",
            "seconds",
        ] {
            assert!(!json[key].is_null(), "{key}: {text}");
        }
        for key in [
            "id",
            "case",
            "ratio",
            "ours_s",
            "baseline_s",
            "baseline",
            "bytes",
            "verified",
        ] {
            assert!(!json["rows"][0][key].is_null(), "{key}: {text}");
        }
    }

    #[test]
    fn the_least_record_is_its_rows_and_anything_else_is_refused_by_name() {
        let least: Record = serde_json::from_str("{\"rows\": []}").unwrap();
        assert_eq!(least, Record::default());
        let missing = Record::read(Path::new("/no/such/record.json")).unwrap_err();
        assert!(
            matches!(missing, RecordError::Io { .. })
                && missing.to_string().contains("record.json")
        );
        let path = std::env::temp_dir().join(format!("gmem-{}-no-record.json", std::process::id()));
        std::fs::write(&path, "{\"demos\": []}").unwrap();
        let other = Record::read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(
            matches!(other, RecordError::Other { .. }) && other.to_string().contains("rows"),
            "{other}"
        );
    }

    #[test]
    fn rows_are_counted_and_grouped() {
        let record = record();
        assert_eq!((record.over(), record.unverified()), (1, 1));
        assert_eq!(
            record.summary(),
            "3 rows: 1 over their goal, 1 not verified; 61 s"
        );
        let groups = record.by_group();
        assert_eq!(groups.len(), 2);
        assert_eq!(
            (groups[0].id, groups[0].title, groups[0].rows.len()),
            ("P1", "warm, fits", 2)
        );
        assert_eq!(groups[0].baseline(), Some("plain wgpu"));
        assert_eq!((groups[1].id, groups[1].title), ("P9", ""));
        assert!(Record::default().by_group().is_empty());
        assert_eq!(
            ["P2", "P12", "BASE", ""].map(number),
            [2, 12, u32::MAX, u32::MAX]
        );
    }
}
