use super::super::reader::AT_MOST;
use super::*;

const PLAN: &str = r#"
[buffers.a]
init = "range:u32:16"
[buffers.b]
init = "zeros:u32:16"
out = "b.npy"
expect = "range:u32:16"

[kernels.copy]
file = "copy.wgsl"
entry = "main"
override = { N = 4, ON = true }

[[steps]]
for = { shift = [0, 4], half = [0.5, 1] }
steps = [
    { kernel = "copy", grid = [1, 2], bind = { src = "a", "0.1" = "b" }, uniform = { p = "P:$shift,$half,$round" } },
    { swap = ["a", "b"] },
]

[[steps]]
until_zero = "b[3]"
steps = [{ clear = "b" }]
"#;

fn read(text: &str) -> Result<Plan, PlanError> {
    Plan::parse(Path::new("dir/plan.toml"), text)
}

#[test]
fn a_plan_is_read_with_its_files_beside_it() {
    let plan = read(PLAN).unwrap();
    assert_eq!(plan.buffers[0].name(), "a");
    assert_eq!(plan.buffers[1].spec.out, Some("dir/b.npy".into()));
    assert!(plan.buffers[1].expect.is_some());
    let kernel = &plan.kernels[0];
    assert_eq!(kernel.file, Path::new("dir/copy.wgsl"));
    assert_eq!(
        kernel.overrides,
        [("N".to_owned(), 4.0), ("ON".to_owned(), 1.0)]
    );
    let Step::Loop(first) = &plan.steps[0] else {
        panic!("{plan:?}")
    };
    let Ends::Each(rounds) = &first.ends else {
        panic!("{first:?}")
    };
    assert_eq!(rounds.len(), 2);
    let text = substitute("P:$shift,$half", &rounds[1]);
    assert_eq!(text.as_deref(), Ok("P:4,1"));
    let Step::Dispatch(dispatch) = &first.steps[0] else {
        panic!("{first:?}")
    };
    assert_eq!(dispatch.grid, [1, 2, 1]);
    assert_eq!(dispatch.bind.len(), 2);
    assert_eq!(dispatch.line, 17);
    assert!(matches!(first.steps[1], Step::Swap(0, 1, 18)));
    let Step::Loop(second) = &plan.steps[1] else {
        panic!("{plan:?}")
    };
    assert!(
        matches!(
            second.ends,
            Ends::Zero {
                buffer: 1,
                index: 3,
                at_most: AT_MOST,
                ..
            }
        ),
        "{second:?}"
    );
}

/// The plan with one piece of it replaced.
fn broken(piece: &str, by: &str) -> PlanError {
    assert_eq!(PLAN.matches(piece).count(), 1, "{piece}");
    let text = PLAN.replace(piece, by);
    read(&text).expect_err(by)
}

#[test]
fn every_mistake_has_its_line_and_says_what_is_allowed() {
    for (piece, by, line, words) in [
        ("[buffers.a]", "[buffers.a", 2, "]"),
        ("[buffers.a]", "[buffer.a]", 2, "buffers"),
        ("out = \"b.npy\"", "output = \"b.npy\"", 6, "expect"),
        (
            "\"range:u32:16\"\n[buffers.b]",
            "\"range:u33:16\"\n[buffers.b]",
            3,
            "u33",
        ),
        (
            "\"range:u32:16\"\n[buffers.b]",
            "\"a.txt\"\n[buffers.b]",
            3,
            "FILE.npy",
        ),
        ("out = \"b.npy\"", "out = \"b.txt\"", 6, "out=FILE.npy"),
        (
            "\"b.npy\"\nexpect = \"range:u32:16\"",
            "\"b.npy\"\nexpect = \"fnv1a:0\"",
            7,
            "16",
        ),
        (
            "\"b.npy\"\nexpect = \"range:u32:16\"",
            "\"b.npy\"\nwithin = 0.5",
            7,
            "expect",
        ),
        ("file = \"copy.wgsl\"", "files = \"copy.wgsl\"", 10, "file"),
        ("N = 4", "N = \"four\"", 12, "number"),
        ("kernel = \"copy\"", "kernel = \"paste\"", 17, "`copy`"),
        ("src = \"a\"", "src = \"c\"", 17, "`a`, `b`"),
        ("src = \"a\"", "\"s r c\" = \"a\"", 17, "GROUP.BINDING"),
        ("grid = [1, 2]", "grid = [1, 0]", 17, "at least 1"),
        ("grid = [1, 2]", "grid = [1, 2, 3, 4]", 17, "one to three"),
        ("grid = [1, 2]", "grid = [-1]", 17, "u32"),
        ("grid = [1, 2], ", "", 17, "`grid`"),
        (
            "grid = [1, 2]",
            "grid = [1, 2], clear = \"b\"",
            17,
            "kernel and clear",
        ),
        (
            "{ clear = \"b\" }",
            "{ clear = \"b\", grid = [1] }",
            23,
            "nothing else",
        ),
        ("{ clear = \"b\" }", "{ clear = \"c\" }", 23, "`a`, `b`"),
        ("{ clear = \"b\" }", "{ }", 23, "`swap`"),
        ("[{ clear = \"b\" }]", "[]", 21, "steps"),
        ("swap = [\"a\", \"b\"]", "swap = [\"a\"]", 18, "two"),
        (
            "swap = [\"a\", \"b\"]",
            "swap = [\"a\", \"a\"]",
            18,
            "different",
        ),
        ("$half", "$quarter", 17, "`$quarter`"),
        ("P:$shift", "u32:$half", 17, "u32"),
        ("half = [0.5, 1]", "half = [0.5]", 15, "one length"),
        ("half = [0.5, 1]", "half = [0.5, \"x\"]", 15, "numbers"),
        (
            "shift = [0, 4], half = [0.5, 1]",
            "",
            15,
            "at least one round",
        ),
        (
            "until_zero = \"b[3]\"",
            "until_zero = \"b[x]\"",
            22,
            "NAME[INDEX]",
        ),
        (
            "until_zero = \"b[3]\"",
            "until_zero = \"c\"",
            22,
            "`a`, `b`",
        ),
        (
            "until_zero = \"b[3]\"",
            "until_zero = \"b\"\nrepeat = 2",
            21,
            "repeat and until_zero",
        ),
        ("until_zero = \"b[3]\"", "", 21, "until_zero"),
        (
            "until_zero = \"b[3]\"",
            "repeat = 2\nat_most = 3",
            23,
            "at_most",
        ),
        ("until_zero = \"b[3]\"", "repeat = 0", 22, "at least one"),
        (
            "until_zero = \"b[3]\"",
            "until_zero = \"b\"\nat_most = 0",
            23,
            "at least one",
        ),
    ] {
        let error = broken(piece, by);
        let text = error.to_string();
        let words = words.trim_matches('`').trim_start_matches('$');
        assert!(text.contains(words), "{by}: `{words}` is missing: {text}");
        assert!(text.starts_with("dir/plan.toml, line "), "{text}");
        assert_eq!(error.line, line, "{by}: {text}");
    }
    let error = read("").unwrap_err();
    assert!(matches!(error.mistake, Mistake::NoSteps), "{error}");
}

#[test]
fn variables_are_found_from_the_inside_out() {
    let variables = vec![
        ("i".to_owned(), "1".to_owned()),
        ("i".to_owned(), "2".to_owned()),
        ("ii".to_owned(), "3".to_owned()),
    ];
    assert_eq!(
        substitute("u32:$i,$ii,7", &variables).as_deref(),
        Ok("u32:2,3,7")
    );
    assert_eq!(substitute("u32:$j", &variables), Err("j".to_owned()));
    assert_eq!(substitute("u32:$", &variables), Err(String::new()));
}
