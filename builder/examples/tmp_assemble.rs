//! scratch
use std::path::Path;
fn main() {
    firstlight::sandbox::init_if_asked();
    let a: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&a[4]).unwrap();
    let base: firstlight::recipe::base::Base = toml::from_str(&text).unwrap();
    let disk = Default::default();
    let ids = firstlight::disk::ids::Ids::new("x");
    std::fs::write(Path::new(&a[1]).join("etc/fstab"), firstlight::disk::fstab(&ids)).unwrap();
    let spec = firstlight::disk::Spec {
        identity: "x",
        released: "2026-01-02T03:04:05Z".parse().unwrap(),
        title: "hello 1",
        disk: &disk,
        base: &base,
        site: &[("README.txt", b"hi")],
    };
    let summary = firstlight::disk::assemble(&spec, Path::new(&a[1]), Path::new(&a[2]), Path::new(&a[3]));
    match summary {
        Ok(s) => println!("{}", serde_json::to_string_pretty(&s).unwrap()),
        Err(e) => {
            eprintln!("error: {e}");
            std::process::exit(1)
        }
    }
}
