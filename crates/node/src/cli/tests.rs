use clap_complete::Shell;

use super::*;

#[test]
fn every_command_has_examples_that_its_own_arguments_take() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("{name} has no examples"));
        let examples: Vec<&str> = help
            .lines()
            .filter_map(|line| Some(line.split_once("metahub-node ")?.1))
            .collect();
        assert!(!examples.is_empty(), "{name}: {help}");
        for example in examples {
            // Two blanks begin an explanation, a bar or a bracket what the shell does.
            let words = example.split(['|', '>']).next().unwrap();
            let words = words.split("  ").next().unwrap().split_whitespace();
            let words = std::iter::once("metahub-node").chain(words);
            let words: Vec<&str> = words.collect();
            assert_eq!(words.get(1), Some(&name), "{example}");
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{example}: {error}");
            }
        }
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish]
        .map(|shell| generated::completions(shell, &mut Cli::command()).stdout);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(generated::man(Some(folder.path()), Cli::command()).code, 0);
    let whole = generated::man(None, Cli::command()).stdout;
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(scripts.iter().all(|script| script.contains(name)), "{name}");
        assert!(whole.contains(name), "{name}");
        let page = folder.path().join(format!("metahub-node-{name}.1"));
        let page = std::fs::read_to_string(&page).unwrap();
        assert!(page.contains("Examples:"), "{page}");
    }
    let file = folder.path().join("metahub-node.1");
    let refused = generated::man(Some(&file), Cli::command());
    assert_eq!(refused.code, 1, "{refused:?}");
}
