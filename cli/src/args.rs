//! What the command line takes: definitions only.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds machine images from a typed, declarative program.
#[derive(Debug, Parser)]
#[command(name = "imgc", version, disable_help_subcommand = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The package: a directory with a `main.imgc`
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: ColorWhen,
    /// Says more on standard error; twice: even more
    #[arg(short = 'v', long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Where layers and objects are kept, instead of `IMGC_CACHE` and the cache directory of the user
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// For whom the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// The output format of a command that prints data.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArg {
    /// For whom the output is
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
}

/// Values for the params of the applied module.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ParamArgs {
    /// Gives a param its value; wins over --vars and `IMGC_VAR_name`
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Reads values of params from a TOML or JSON file; later files win
    #[arg(long, value_name = "FILE")]
    pub(crate) vars: Vec<PathBuf>,
}

/// What is there to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a package: a first program, its settings and a `.gitignore`
    Init(InitArgs),
    /// Checks a program without network, arguments or building anything
    Check(CheckArgs),
    /// Shows what apply would do, and why
    Plan(PlanArgs),
    /// Builds the outputs of a program
    Apply(ApplyArgs),
    /// Changes what sources are locked to
    Update(UpdateArgs),
    /// Runs the tests of a program
    Test(TestArgs),
    /// Formats programs
    Fmt(FmtArgs),
    /// Explains a code of a diagnostic, such as IMG2001, or why a step will run
    Explain(ExplainArgs),
    /// Opens a shell in a machine as a step left it
    Shell(ShellArgs),
    /// Draws the plan as a picture
    Graph(GraphArgs),
    /// Shows the artifacts of the last apply
    Show(ShowArgs),
    /// Shows the output of a step in the last run
    Log(LogArgs),
    /// Looks after the store of layers and objects
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Takes up what runs that died left behind
    Clean(CleanArgs),
    /// Writes the reference of a package from its comments
    Doc(DocArgs),
    /// Says what this machine lacks to build images, and how to get it
    Doctor(FormatArg),
    /// Serves an editor: the language server, over standard input and output
    Lsp(LspArgs),
    /// Prints a completion script for a shell
    Completions(CompletionsArgs),
    /// Prints the version and the build
    Version,
}

/// Arguments of `lsp`.
#[derive(Debug, Args)]
pub(crate) struct LspArgs {
    /// Taken for editors that always give it; there is no other way
    #[arg(long)]
    pub(crate) stdio: bool,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The directory of the package; made where it is missing
    pub(crate) path: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The package or a file of it
    pub(crate) path: Option<PathBuf>,
    /// Writes what can be mended for certain into the files; `=maybe` also what is probably meant
    #[arg(long, value_name = "SURE", num_args = 0..=1, require_equals = true, default_missing_value = "safe")]
    pub(crate) fix: Option<FixLevel>,
    /// With --fix: prints what would change and writes nothing
    #[arg(long, requires = "fix")]
    pub(crate) dry_run: bool,
    /// Ends with 1 where there are warnings, too
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// For whom the output is
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: CheckFormat,
}

/// How sure a fix has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FixLevel {
    /// It means the same, or is plainly what was meant
    Safe,
    /// It is probably what was meant
    Maybe,
}

/// For whom the output of `check` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people
    Human,
    /// For programs
    Json,
    /// SARIF 2.1.0, for what shows findings of many tools
    Sarif,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Outputs or addresses, all outputs if none; what is a path or ends in .imgc is the package
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Writes the plan to a file that `apply --plan` obeys
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Ends with 10 where something would run
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Describes the params of the program and ends
    #[arg(long)]
    pub(crate) help_params: bool,
    /// Refuses to add to imgc.lock
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ApplyArgs {
    /// Outputs or addresses, all outputs if none; what is a path or ends in .imgc is the package
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Does what this plan says, or refuses where an input has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "vars", "targets"])]
    pub(crate) plan: Option<PathBuf>,
    /// Where artifacts go, instead of `out` in the package
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// How many steps may run at a time, instead of one a CPU
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Runs this step or all steps of this image again, cached or not
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) rerun: Vec<String>,
    /// Runs every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Boots virtual machines instead of resuming them; what is built is the same
    #[arg(long)]
    pub(crate) cold: bool,
    /// Goes on with what does not depend on a step that failed
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// What becomes of the machine in which a step failed
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub(crate) on_error: OnErrorArg,
    /// Opens a new machine after so many steps of an image
    #[arg(long, value_name = "N")]
    pub(crate) max_chain: Option<NonZeroUsize>,
    /// Refuses to add to imgc.lock
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// What becomes of the machine in which a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnErrorArg {
    /// It is thrown away
    Stop,
    /// It is kept for `imgc shell`, where its backend can do that
    Keep,
    /// You are asked, on a terminal: throw it away, keep it, or run the step again
    Ask,
}

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Names as imgc.lock has them, such as `debian:bookworm`; all if none. What is a path is the package
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Tests or images, all tests if none; what is a path or ends in .imgc is the package
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// How many steps may run at a time, instead of one a CPU
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Runs tests again that have passed on the same image
    #[arg(long)]
    pub(crate) again: bool,
    /// Refuses to add to imgc.lock
    #[arg(long)]
    pub(crate) locked: bool,
    /// Lists the tests and ends
    #[arg(long)]
    pub(crate) list: bool,
    /// How results are told
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: TestFormat,
    /// Also writes the results to a file, as `JUnit`'s XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

/// How results of tests are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// For people
    Human,
    /// One JSON event a line
    Json,
    /// The Test Anything Protocol, version 14
    Tap,
    /// `JUnit`'s XML
    Junit,
}

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub(crate) struct FmtArgs {
    /// Files and directories; the package if none; `-` reads standard input and writes to standard output
    pub(crate) paths: Vec<PathBuf>,
    /// Changes nothing; names the files that would change and ends with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code of a diagnostic, or the address of a step or an output
    #[arg(value_name = "CODE|ADDRESS")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Refuses to add to imgc.lock
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// A step, source or image, as `imgc plan` shows it: `web/sh "enable"`
    pub(crate) address: String,
    /// What to run in the place of a shell; its exit code is passed on
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// As it stood before the step
    #[arg(long)]
    pub(crate) before: bool,
    /// As it stood when the step failed: what `apply --on-error keep` kept its machine as
    #[arg(long, value_name = "NAME", conflicts_with = "before")]
    pub(crate) parked: Option<String>,
    /// Who runs it, instead of the step's user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
}

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// Outputs or addresses, all outputs if none; what is a path or ends in .imgc is the package
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// What to draw it in
    #[arg(long, value_name = "FORMAT", default_value = "svg")]
    pub(crate) format: GraphFormat,
    /// Writes to a file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Leaves out what is cached and what would run; needs neither store nor network
    #[arg(long)]
    pub(crate) no_state: bool,
    /// Refuses to add to imgc.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

/// A language of graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A picture for browsers
    Svg,
    /// For Graphviz
    Dot,
    /// For Markdown that draws Mermaid
    Mermaid,
    /// For programs
    Json,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The package or a file of it
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The address of a step, such as `web/sh "enable"`; without it the steps of the last run are listed
    pub(crate) address: Option<String>,
}

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Changes nothing; says what there is to clean up
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Lists what is kept
    Ls(FormatArg),
    /// Removes what is kept
    Rm(CacheRmArgs),
    /// Removes what is cheapest to make again for the space it takes, until the store fits its budget
    Gc(CacheGcArgs),
    /// Reads everything again and puts aside what is damaged
    Verify(FormatArg),
    /// Writes layers and artifacts into a directory, for the store of another machine; again, only what changed
    Export(CacheExportArgs),
    /// Takes layers and artifacts from a directory that `cache export` made, after checking each byte
    Import(CacheImportArgs),
}

/// Arguments of `cache export`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["what", "all"])))]
pub(crate) struct CacheExportArgs {
    /// The directory: one of an earlier export, an empty one, or none yet
    pub(crate) dir: PathBuf,
    /// Addresses, as `cache ls` shows them, or fingerprints; each with the steps below it
    pub(crate) what: Vec<String>,
    /// Everything
    #[arg(long, conflicts_with = "what")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `cache import`.
#[derive(Debug, Args)]
pub(crate) struct CacheImportArgs {
    /// The directory
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `cache gc`.
#[derive(Debug, Args)]
pub(crate) struct CacheGcArgs {
    /// What the store may take, such as `500 MiB` or `0`; if not given 20 GiB, or a fifth of the disk where that is less
    #[arg(long, value_name = "SIZE", value_parser = crate::render::text::parse_size)]
    pub(crate) budget: Option<u64>,
    /// What memory parts of machines may take beside that; if not given 10 GiB, or a tenth of the disk where that is less
    #[arg(long, value_name = "SIZE", value_parser = crate::render::text::parse_size)]
    pub(crate) memory_budget: Option<u64>,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `cache rm`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["what", "all"])))]
pub(crate) struct CacheRmArgs {
    /// Addresses, as `cache ls` shows them, or fingerprints
    pub(crate) what: Vec<String>,
    /// Everything
    #[arg(long, conflicts_with = "what")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) format: FormatArg,
}

/// Arguments of `doc`.
#[derive(Debug, Args)]
pub(crate) struct DocArgs {
    /// The package or a file of it
    pub(crate) path: Option<PathBuf>,
    /// Documents the standard library, the language's members, its codes and the command line instead
    #[arg(long, conflicts_with = "path")]
    pub(crate) std: bool,
    /// Writes a file a page into this directory, instead of printing them
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// For whom the output is
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    pub(crate) format: DocFormat,
}

/// What documentation is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocFormat {
    /// Pages for people
    Markdown,
    /// One document for programs
    Json,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// A shell that completions exist for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}
