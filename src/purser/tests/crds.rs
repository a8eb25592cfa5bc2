//! The CustomResourceDefinitions, as they are printed and as they are kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn crds(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_purser")).arg("crds").args(args).output().unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = crds(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// File name and content, by what is printed for each name.
fn expected() -> BTreeMap<String, String> {
    let names = purser_api::crd::definitions().into_iter().map(|definition| definition.name);
    let file = |name: &str| {
        let (plural, group) = name.split_once('.').unwrap();
        format!("{group}_{plural}.yaml")
    };
    names.map(|name| (file(&name), printed(&[&name]))).collect()
}

#[test]
fn the_files_in_deploy_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let expected = expected();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in &expected {
            std::fs::write(folder.join(file), text).unwrap();
        }
    }
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    let kept: BTreeMap<String, String> = entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    for (file, text) in &expected {
        assert_eq!(
            kept.get(file),
            Some(text),
            "{file} is not what `purser crds` prints: run with UPDATE_DOCS=1"
        );
    }
    assert_eq!(kept.len(), expected.len(), "a file too many in deploy/crds: {:?}", kept.keys());
}

#[test]
fn all_are_printed_unless_one_is_named() {
    assert_eq!(printed(&[]).matches("\nkind: CustomResourceDefinition\n").count(), 6);
    assert_eq!(printed(&["nodepools"]), printed(&["nodepools.karpenter.sh"]));
    let output = crds(&["nodes"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("there is no CustomResourceDefinition \"nodes\": use one of nodepools.karpenter.sh"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}
