#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]
//! scratch
use purser_checker::*;
#[test]
fn scan() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/scheduling");
    let mut files: Vec<_> = ["suite", "generated"]
        .iter()
        .flat_map(|d| std::fs::read_dir(root.join(d)).unwrap().map(|e| e.unwrap().path()))
        .collect();
    files.sort();
    let only = std::env::var("ONLY").unwrap_or_default();
    let place = std::env::var("PLACE").is_ok();
    for f in files {
        if !f.to_str().unwrap().contains(&only) {
            continue;
        }
        let e: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&f).unwrap()).unwrap();
        let s = match Scenario::from_value(e["scenario"].clone(), &catalogues_near(&f)) {
            Ok(s) => s,
            Err(x) => {
                println!("READ {}: {x}", f.display());
                continue;
            }
        };
        let o = Outcome::from_value(e["expected"].clone()).unwrap();
        let t = std::time::Instant::now();
        let v = check(&s, &o);
        let n = f.file_name().unwrap().to_str().unwrap();
        for x in v {
            println!("{n} :: {x}");
        }
        if t.elapsed().as_secs() > 2 {
            println!("SLOW {n} {:?}", t.elapsed());
        }
        if place {
            for p in o.pending() {
                if let Some(w) = could_place(&s, &o, p) {
                    println!("{n} PLACE {p} {w:?} KARPENTER {}", e["expected"]["podErrors"][p]);
                }
            }
            if t.elapsed().as_secs() > 4 {
                println!("SLOWP {n} {:?}", t.elapsed());
            }
        }
    }
}
