//! The page of a run: plots of its figures, the full table and the machine, in one file that needs nothing else.

mod case;
mod curve;
mod policies;
mod ratios;
mod rows;
mod svg;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::json::Record;
use super::row::Row;
use super::show;
use crate::cli::output;
use svg::escape;

/// A page that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot be written to {path:?}: {source}")]
pub struct PageError {
    /// Where it was to go.
    path: PathBuf,
    /// What the system said.
    source: std::io::Error,
}

/// Writes the page of a run.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, record: &Record) -> Result<(), PageError> {
    output::replace(path, |file| file.write_all(page(record).as_bytes())).map_err(|source| {
        PageError {
            path: path.to_owned(),
            source,
        }
    })
}

/// The page.
#[must_use]
pub fn page(record: &Record) -> String {
    let title = escape(&format!(
        "gmem bench: {}, {}",
        record.machine.adapter, record.date
    ));
    let mut body = format!(
        "<h1>gmem bench</h1>\n<p class=\"sum\">{}</p>\n<ul>\n",
        escape(&record.summary())
    );
    for fact in show::facts(record) {
        body += &format!("<li>{}</li>\n", escape(&fact));
    }
    body += "</ul>\n";
    for left_out in &record.left_out {
        body += &format!(
            "<p>{}: left out: {}</p>\n",
            escape(&left_out.id),
            escape(&left_out.reason)
        );
    }
    for failed in &record.failed {
        body += &format!(
            "<p class=\"over\">{} failed: {}</p>\n",
            escape(&failed.id),
            escape(&failed.reason)
        );
    }
    body += &section(
        "goals",
        "Figures against their goals",
        GOALS,
        &ratios::plots(&plain(record)),
    );
    body += &section(
        "curve",
        "Oversubscription",
        CURVE,
        &curve::plots(&record.rows),
    );
    body += &section(
        "policies",
        "Eviction policies",
        POLICIES,
        &policies::table(&record.rows),
    );
    body += &section("rows", "All rows", ROWS, &rows::table(record));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        include_str!("page.css")
    )
}

const GOALS: &str = "Each mark is a row: a disc is within its goal, a diamond over it, a ring has no goal. The upright bar is the goal, \
the dashed line the baseline. Ours and the baseline were run in turn in one process; the ratio is the mean of the sittings' ratios between their quartiles, each the same of its turns'.";
const CURVE: &str = "The same kernel with more and more data for the same device memory. To the left of 1 all of it fits; the dashed line \
is the baseline.";
const POLICIES: &str = "Bytes moved over those that Belady's optimum would have moved for the same accesses. Darker is more.";
const ROWS: &str = "Times are medians; the spread is the distance between quartiles as a part of the median; GB/s are the bytes of the row, \
in powers of ten, a second. A figure is ours over the baseline, unless it has another unit. The error is the standard error of the ratio, \
as a part of it; where the goal is so near that chance decides, a ? follows.";

/// A part of the page; none where it would be empty.
fn section(id: &str, title: &str, words: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    let words = escape(words);
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n<p>{words}</p>\n{content}</section>\n"
    )
}

/// Rows that have no plot of their own, under the headings of their groups.
fn plain(record: &Record) -> Vec<(String, Vec<&Row>)> {
    let mut groups = Vec::new();
    for group in record.by_group() {
        let heading = rows::heading(&group);
        let plain: Vec<&Row> = group
            .rows
            .into_iter()
            .filter(|row| !curve::has(row) && !policies::has(row))
            .collect();
        if !plain.is_empty() {
            groups.push((heading, plain));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::json::{Failed, tests::record};
    use crate::cli::bench::measured::Measured;

    #[test]
    fn a_page_needs_nothing_else_and_says_what_it_is() {
        let page = page(&record());
        for word in [
            "<script",
            "src=",
            "href=",
            "url(",
            "@import",
            "http:",
            "https:",
            "Some <GPU>",
            "<table>",
        ] {
            assert!(!page.contains(word), "{word}: {page}");
        }
        for word in [
            "Some &lt;GPU&gt;",
            "saxpy",
            "0123456789abcdef",
            "3 rows: 1 over their goal, 1 not verified",
            "prefers-color-scheme",
        ] {
            assert!(page.contains(word), "{word}: {page}");
        }
        assert_eq!(
            page.matches("<section").count(),
            2,
            "neither curve nor matrix: {page}"
        );
        assert_eq!(page.matches("<svg").count(), page.matches("<desc").count());
    }

    #[test]
    fn rows_of_the_curve_and_of_the_matrix_have_sections_of_their_own() {
        let mut record = record();
        let measured = Measured::of(vec![vec![([2.0; 2], [1.0; 2])]]);
        record
            .rows
            .push(Row::timed("P13", "triad at 2x", "b", measured).bytes(9));
        record
            .rows
            .push(Row::counted("P5", "heat at 2x, lru", "b", 1.0, 1.0));
        record.left_out.push(Failed {
            id: "P7".to_owned(),
            reason: "no <cores>".to_owned(),
        });
        record.failed.push(Failed {
            id: "P6".to_owned(),
            reason: "no <way>".to_owned(),
        });
        let page = page(&record);
        assert_eq!(page.matches("<section").count(), 4, "{page}");
        assert!(page.contains("P6 failed: no &lt;way&gt;"), "{page}");
        assert!(page.contains("P7: left out: no &lt;cores&gt;"), "{page}");
        let goals = &page[page.find("id=\"goals\"").unwrap()..page.find("id=\"curve\"").unwrap()];
        assert!(
            !goals.contains("triad at 2x") && !goals.contains("heat at 2x"),
            "{goals}"
        );
        let mut ids: Vec<&str> = page
            .split(" id=\"")
            .skip(1)
            .filter_map(|part| part.split('"').next())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "ids are of one thing each: {ids:?}");
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let page = page(&Record::default());
        assert!(
            page.contains("No rows.") && !page.contains("<svg"),
            "{page}"
        );
    }

    #[test]
    fn a_page_without_a_folder_names_its_file() {
        let error = write(Path::new("/no/such/folder/page.html"), &record()).unwrap_err();
        assert!(error.to_string().contains("folder/page.html"), "{error}");
    }
}
