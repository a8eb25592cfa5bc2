//! The page of reasons is generated from the registry.

use std::path::Path;

use purser_engine::reason::ReasonId;

fn page() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         Why a pod waits, a node stays, or something was given up. The ids are stable: an id that was released keeps its meaning for\n\
         ever and is never used for another. `replay list --reason ID` finds the records, `replay reasons` prints this table.\n\n\
         This page is generated from the registry in `src/engine/reason.rs`; `UPDATE_DOCS=1 cargo test -p purser-engine --test reasons`\n\
         writes it anew.\n\n\
         | id | number | meaning | what to do |\n|---|---|---|---|\n",
    );
    for id in ReasonId::ALL {
        page += &format!("| `{id}` | {} | {} | {} |\n", *id as u16, id.meaning().trim(), id.remedy());
    }
    page
}

#[test]
fn the_page_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, page(), "docs/reasons.md is not that of the registry: run with UPDATE_DOCS=1");
}
