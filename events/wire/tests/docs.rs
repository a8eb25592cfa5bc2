//! docs/events.md, which is made from the table of kinds.

use std::fmt::Write as _;
use std::fs;

use super::{asked_for, file};
use crate::codec::MAX_LEN;
use crate::wire::{Kind, code};

const PATH: &str = "docs/events.md";

fn page() -> String {
    let mut page = INTRODUCTION.replace("{limit}", &(MAX_LEN / 1024).to_string());
    page.push_str(
        "\n## Kinds\n\n| number | name | class | schema | what it says |\n|---:|---|---|---:|---|\n",
    );
    for kind in Kind::all() {
        writeln!(
            page,
            "| {} | `{}` | {} | {} | {} |",
            kind.number,
            kind.name,
            kind.class,
            kind.newest(),
            kind.says()
        )
        .unwrap();
    }
    page.push_str("\n## Codes\n\n| of | codes |\n|---|---|\n");
    for (name, codes) in code::ALL {
        let codes: Vec<String> = codes.iter().map(|(code, word)| format!("{code} `{word}`")).collect();
        writeln!(page, "| {name} | {} |", codes.join(", ")).unwrap();
    }
    page.push_str("\nThe codes of reasons are their numbers in the registry of reasons.\n");
    page
}

#[test]
fn docs_list_the_kinds_as_they_are() {
    let page = page();
    if asked_for("UPDATE_DOCS") {
        fs::create_dir_all(file("docs")).unwrap();
        fs::write(file(PATH), &page).unwrap();
    }
    let found = fs::read_to_string(file(PATH)).unwrap_or_default();
    assert!(
        found == page,
        "{PATH} is out of date: UPDATE_DOCS=1 cargo test -p purser-events docs rewrites it"
    );
}

const INTRODUCTION: &str = "\
# Events

<!-- Made from the table of kinds in events/wire by a test: UPDATE_DOCS=1 cargo test -p purser-events docs -->

Every record of the log has a *kind*, the *schema* (version) of its form, and a *payload*. This page lists the kinds; the
envelope around them is described in docs/journal.md.

## Two forms

A payload has two forms that say the same.

**Binary**, on disk: bincode 1.3.3 with integers of variable length, little endian, at most {limit} KiB, nothing left over. It is
not self-describing: it is read only as the struct of its kind and schema.

**JSON**, in proofs, exports and on the screen: one object, without spaces or line breaks, its members the fields of the very
same struct, in their order. The log's Merkle tree commits to these bytes, and a redacted copy of the log proves them, so
field names and their order are as frozen as the binary form. A payload is always shown in the schema that it was written
in, never in a newer one.

| in JSON | is |
|---|---|
| times | RFC 3339 in UTC with six digits of the second. A moment outside the years 0 to 9999 is its microseconds since 1970, followed by `us`. |
| `..._us` | a length of time, in microseconds |
| `..._microusd_per_hour` | a price, in millionths of a US dollar per hour |
| `cpu_millis`, `..._bytes`, `pods`, `other` | amounts: thousandths of a core, bytes, a number; other resources by name, in their own unit |
| amounts of devices' counters and capacities | a decimal number in units, as text; in binary, billionths |
| UIDs | with hyphens, lower case |
| enumerations | a word (see the codes below); in binary, a byte |
| lists of pods | groups of neighbours with the same namespace, in order |
| requirements | by label: `values` are those allowed, or with `complement` those not allowed; `lower` and `upper` are inclusive bounds on integers; `min_values` is how many different values must remain |
| `places` of a launch's option | bit i stands for place i of the launch's `places` |
| integers | up to 64 bits, exact: read them with a parser that does not make floats of them |
| what is not there | `null` |

## How they change

A released schema never changes. A kind that has more to say gets a next schema; what was written in an older one is read
through it, and shown as it was written. A new enumeration value gets a new code. A program that meets a kind, schema or
code that it does not know says so, and does not guess: use a newer program. Numbers, names and codes are never used again
for something else. `events/golden` has the bytes and the JSON of samples of every schema; tests hold every version to them.

## How long they may be

A payload has at most {limit} KiB. An event that would be longer is refused before it is written. A launch for 1,000 pods with
60 instance types takes 42 KiB where pods are of one namespace and their names have 40 characters; a node never takes as
many. The controller puts at most 500 pods into one `nominate` or `unschedulable`. Messages of clouds and servers have to be
cut by whoever takes them in.
";
