use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;
use crate::cli::contradiction::ArgumentError;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("gmem").chain(line.split_whitespace()))
}

#[test]
fn the_command_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn common_options_stand_before_or_after_the_command() {
    for line in [
        "--device-memory 64MiB --seed 9 demo triad",
        "demo triad --device-memory 64MiB --seed 9",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!(
            (cli.common.device_memory, cli.common.seed),
            (Some(64 << 20), 9),
            "{line}"
        );
        assert!(matches!(
            cli.command,
            Some(Command::Demo(DemoArgs {
                name: DemoName::Triad,
                ..
            }))
        ));
    }
    assert!(parse("").unwrap().command.is_none());
    assert_eq!(
        parse("--adapter gl").unwrap().common.adapter,
        Some(Adapter::Backend("gl"))
    );
}

#[test]
fn every_common_option_is_read() {
    let common = parse(
        "demo --page-size 4KiB --policy clock --adapter llvmpipe --host mprotect --report a/b.json --device-memory 1G --remote-memory 0",
    )
    .unwrap()
    .common;
    assert_eq!(common.page_size, Some(PageSize::MIN));
    assert_eq!(common.policy_kind(), Some(PolicyKind::Clock));
    assert_eq!(common.adapter, Some(Adapter::Named("llvmpipe".to_owned())));
    assert_eq!(
        common.host.map(HostMechanism::from),
        Some(HostMechanism::Mprotect)
    );
    assert_eq!(common.report, Some(PathBuf::from("a/b.json")));
    assert_eq!(
        (common.device_memory, common.remote_memory),
        (Some(1 << 30), Some(0))
    );
}

#[test]
fn a_run_is_read_whole() {
    let cli = parse(
        "run k.wgsl --grid 4,5 --entry main --bind a=a.npy --bind 0.1=zeros:1K,out=o.bin --uniform p=u32:1 --override N=4 --repeat 3",
    )
    .unwrap();
    cli.check().unwrap();
    let Some(Command::Run(run)) = cli.command else {
        panic!("not a run")
    };
    assert_eq!(run.grid, Some([4, 5, 1]));
    assert_eq!(
        (
            run.binds.len(),
            run.uniforms.len(),
            run.overrides.len(),
            run.repeat
        ),
        (2, 1, 1, 3)
    );
    assert_eq!(run.entry.as_deref(), Some("main"));
}

#[test]
fn bad_arguments_are_refused_by_the_parser_with_status_2() {
    for line in [
        "demo nothing",
        "demo --size 0",
        "demo --page-size 5000",
        "demo --policy best",
        "demo --host magic",
        "demo --device-memory 12parsecs",
        "demo --seed -1",
        "run",
        "run k.wgsl --grid 0",
        "run k.wgsl --grid 1,0,1",
        "run k.wgsl --grid 1,2,3,4",
        "run k.wgsl --grid 4294967296",
        "run k.wgsl --grid x",
        "run k.wgsl --grid 1 --repeat 0",
        "run k.wgsl --grid 1 --bind a",
        "run k.wgsl --grid 1 --bind a=b.txt",
        "run k.wgsl --grid 1 --uniform p=u32:-1",
        "run k.wgsl --grid 1 --override x=y",
        "info --xml",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
    }
    assert_eq!(parse("--help").unwrap_err().kind(), ErrorKind::DisplayHelp);
    assert_eq!(parse("--help").unwrap_err().exit_code(), 0);
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    let check = |line: &str| parse(line).unwrap().check().unwrap_err();
    assert_eq!(
        check("demo triad --graph g.mtx"),
        ArgumentError::GraphWithoutPagerank
    );
    assert_eq!(
        check("demo heat --file f"),
        ArgumentError::FileWithoutHistogram
    );
    assert_eq!(
        check("demo pagerank --graph g.mtx --size 1M"),
        ArgumentError::SizeOfFile("--graph")
    );
    assert_eq!(
        check("demo histogram --file f --size 1M"),
        ArgumentError::SizeOfFile("--file")
    );
    assert!(matches!(
        check("run k.wgsl --grid 1 --bind a=zeros:1K --bind a=zeros:1K"),
        ArgumentError::Twice {
            option: "--bind",
            ..
        }
    ));
    assert!(matches!(
        check("run k.wgsl --grid 1 --bind a=zeros:1K,out=o.bin --bind b=zeros:1K,out=o.bin"),
        ArgumentError::SameOutput(_)
    ));
    assert_eq!(check("run k.wgsl"), ArgumentError::NoGrid);
    for (option, value) in [
        ("--grid", "4"),
        ("--entry", "main"),
        ("--uniform", "p=u32:1"),
        ("--override", "N=1"),
    ] {
        assert_eq!(
            check(&format!("run p.toml {option} {value}")),
            ArgumentError::NotForPlans(option)
        );
    }
    assert_eq!(
        check("check k.wgsl --trace t.json"),
        ArgumentError::NothingToTrace
    );
    parse("demo all --size 1M --graph g.mtx --file f")
        .unwrap()
        .check()
        .unwrap();
}

#[test]
fn help_tells_a_stranger_how_to_begin() {
    let help = parse("--help").unwrap_err().to_string();
    for words in [
        "Examples:",
        "gmem demo triad",
        "--device-memory",
        "exit status",
        "pagerank --graph",
    ] {
        assert!(help.contains(words), "no {words:?} in\n{help}");
    }
    let help = parse("run --help").unwrap_err().to_string();
    for words in [
        "zeros:f32:1000000",
        ",out=FILE",
        "GROUP.BINDING",
        "--override",
    ] {
        assert!(help.contains(words), "no {words:?} in\n{help}");
    }
}

#[test]
fn options_that_would_change_nothing_are_refused() {
    for (line, option) in [
        ("replay t.json --page-size 4KiB", "--page-size"),
        ("replay t.json --adapter gl", "--adapter"),
        ("replay t.json --host explicit", "--host"),
        ("bench --device-memory 1MiB", "--device-memory"),
        ("bench --remote-memory 0", "--remote-memory"),
        ("replay t.json --remote-memory 1MiB", "--remote-memory"),
        ("bench --policy lru", "--policy"),
        ("bench --from a.json --seed 3", "--seed"),
        ("bench --from a.json --trace t.json", "--trace"),
        ("bench --from a.json --adapter gl", "--adapter"),
        ("bench --from a.json --policy lru", "--policy"),
    ] {
        let error = parse(line).unwrap().check().unwrap_err();
        assert!(
            matches!(error, ArgumentError::Useless { option: o, .. } if o == option),
            "{line}: {error}"
        );
    }
    for line in [
        "replay t.json --device-memory 1MiB --policy lru --seed 3 --report r.json",
        "bench --adapter gl --seed 3 --page-size 4KiB --trace t.json",
        "bench --from a.json --html b.html",
    ] {
        assert_eq!(parse(line).unwrap().check(), Ok(()), "{line}");
    }
}

#[test]
fn what_only_a_replay_can_do_is_refused_elsewhere() {
    for line in [
        "replay t.json --policy belady",
        "replay t.json --policy all",
        "replay t.json --policy lru",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.check(), Ok(()), "{line}");
    }
    for (line, error) in [
        ("demo --policy belady", ArgumentError::OnlyReplays("belady")),
        ("--policy all info", ArgumentError::OnlyReplays("all")),
        ("info --trace t.json", ArgumentError::NothingToTrace),
        (
            "replay a.json --trace t.json",
            ArgumentError::NothingToTrace,
        ),
    ] {
        assert_eq!(parse(line).unwrap().check(), Err(error), "{line}");
    }
    assert_eq!(parse("demo --trace t.json").unwrap().check(), Ok(()));
    assert!(parse("demo --policy fifo").is_err() && parse("replay").is_err());
}
