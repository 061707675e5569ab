//! A stand-in for k3s, for tests alone: k3s itself can't be had where the project is tested.
//!
//! At its surface it does as k3s does: it is called `server`, `agent`, `kubectl`, `ctr` or `crictl`, refuses options that it does
//! not know, reads its configuration, imports the archives of images (remembering them in `.cache.json` where that file is
//! there), writes its kubeconfig, listens, tells systemd that it is ready, and answers for its node and one pod. What it saw lies in
//! [`SEEN`] for the test to look at. It runs no container.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

/// Which release it says it is: the test that compiles it says so.
const VERSION: &str = match option_env!("K3S_STAND_IN_VERSION") {
    Some(version) => version,
    None => "v0.0.0+k3s0",
};
const STATE: &str = "/var/lib/rancher/k3s";
const SEEN: &str = "/var/lib/rancher/k3s/stand-in";
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// Options of `k3s server` that the test's recipe and site may set; an agent knows those of the second list alone.
const SERVER: [&str; 10] = [
    "cluster-cidr",
    "service-cidr",
    "disable",
    "disable-cloud-controller",
    "secrets-encryption",
    "cluster-init",
    "server",
    "token-file",
    "prefer-bundled-bin",
    "selinux",
];
const AGENT: [&str; 4] = ["server", "token-file", "prefer-bundled-bin", "selinux"];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().collect();
    let called = words.remove(0).rsplit('/').next().unwrap_or_default().to_owned();
    if called != "k3s" {
        words.insert(0, called);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--version"] => {
            println!("k3s version {VERSION} (stand-in)\ngo version none");
            Ok(())
        }
        ["server"] => begin(Path::new("/etc/rancher/k3s/config.yaml"), &SERVER).and_then(|_| serve()),
        ["agent", "--config", path] => begin(Path::new(path), &AGENT).and_then(|configuration| join(&configuration)),
        ["kubectl", "get", "nodes", "--output", "json"] => told().map(|()| println!("{}", nodes())),
        ["kubectl", "get", "pods", "--all-namespaces", "--output", "json"] => told().map(|()| println!("{}", pods())),
        ["ctr", "images", "ls"] => fs::read_to_string(format!("{SEEN}/imported")).map(|list| print!("{list}")),
        other => Err(io::Error::other(format!("flag or command provided but not defined: {other:?}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("k3s stand-in: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server runs, and its kubeconfig can be read.
fn told() -> io::Result<()> {
    fs::read(KUBECONFIG)?;
    TcpStream::connect("127.0.0.1:6443").map(drop)
}

/// What both do first: notes what it sees, reads its configuration, and imports the archives.
fn begin(configuration: &Path, known: &[&str]) -> io::Result<BTreeMap<String, String>> {
    fs::create_dir_all(SEEN)?;
    let gate = Path::new("/run/firstlight/gate-open").exists();
    let swaps = fs::read_to_string("/proc/swaps")?.lines().count() - 1;
    append("starts", &format!("gate-open={gate} swaps={swaps}\n"))?;
    let configuration = read(configuration, known)?;
    if let Some(path) = configuration.get("token-file") {
        fs::read_to_string(path)?;
    }
    import()?;
    Ok(configuration)
}

fn serve() -> io::Result<()> {
    let mut manifests: Vec<String> = names(&Path::new(STATE).join("server/manifests"))?;
    manifests.sort();
    fs::write(format!("{SEEN}/manifests"), manifests.join("\n"))?;
    let mut kubeconfig = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(KUBECONFIG)?;
    kubeconfig.write_all(b"apiVersion: v1\nkind: Config\n")?;
    kubeconfig.set_permissions(Permissions::from_mode(0o600))?;
    listen(&[6443, 10250, 443])
}

/// An agent has no API server of its own: it must reach its server's.
fn join(configuration: &BTreeMap<String, String>) -> io::Result<()> {
    let server = configuration.get("server").ok_or_else(|| io::Error::other("--server is required"))?;
    if !configuration.contains_key("token-file") {
        return Err(io::Error::other("--token is required"));
    }
    TcpStream::connect(server.trim_start_matches("https://"))?;
    append("joined", &format!("{server}\n"))?;
    listen(&[10250])
}

fn listen(ports: &[u16]) -> io::Result<()> {
    let listeners: Vec<TcpListener> =
        ports.iter().map(|port| TcpListener::bind(("0.0.0.0", *port))).collect::<Result<_, _>>()?;
    notify("READY=1")?;
    let answering: Vec<_> = listeners.into_iter().map(|listener| thread::spawn(move || answer(&listener))).collect();
    for one in answering {
        let _ = one.join();
    }
    Ok(())
}

fn answer(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        // A client that goes away, or only looks whether somebody listens, is nobody's error.
        let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(2)));
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nstand-in");
    }
}

/// `KEY: VALUE` and lists, of the file and of its folder with `.d`, as far as Firstlight writes them.
fn read(path: &Path, known: &[&str]) -> io::Result<BTreeMap<String, String>> {
    let mut files = vec![path.to_owned()];
    let folder = PathBuf::from(format!("{}.d", path.display()));
    if folder.is_dir() {
        let mut more: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    let mut all = BTreeMap::new();
    let mut last = String::new();
    for file in files {
        for line in fs::read_to_string(&file)?.lines().filter(|line| !line.starts_with('#')) {
            if let Some(item) = line.strip_prefix("  - ") {
                let list: &mut String = all.entry(last.clone()).or_default();
                *list += &format!("{} ", item.trim_matches('"'));
                continue;
            }
            let (key, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no option: {line}")))?;
            if !known.contains(&key) {
                return Err(io::Error::other(format!("flag provided but not defined: -{key}")));
            }
            last = key.to_owned();
            all.insert(last.clone(), value.trim().trim_matches('"').to_owned());
        }
    }
    let text: String = all.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fs::write(format!("{SEEN}/configuration"), text)?;
    Ok(all)
}

/// Reads each archive from end to end, but for those that `.cache.json` knows by size and time, as k3s does since v1.33.1.
fn import() -> io::Result<()> {
    let folder = Path::new(STATE).join("agent/images");
    let cache = folder.join(".cache.json");
    let known = fs::read_to_string(&cache).unwrap_or_default();
    let mut now = String::new();
    for name in names(&folder)?.into_iter().filter(|name| !name.starts_with('.')) {
        let mut file = File::open(folder.join(&name))?;
        let found = file.metadata()?;
        let entry = format!("{name} {} {}\n", found.len(), found.mtime());
        if !known.contains(&entry) {
            let read = io::copy(&mut file, &mut io::sink())?;
            append("imported", &format!("{name} {read}\n"))?;
        }
        now += &entry;
    }
    // k3s opens it without making it.
    match OpenOptions::new().write(true).truncate(true).open(&cache) {
        Ok(mut file) => file.write_all(now.as_bytes()),
        Err(_) => Ok(()),
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_dir(folder)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn append(name: &str, line: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(format!("{SEEN}/{name}"))?.write_all(line.as_bytes())
}

/// sd_notify (3), by a path; systemd uses one.
fn notify(state: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(state.as_bytes(), PathBuf::from(path)).map(drop)
}

fn nodes() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
    format!(
        "{{\"kind\":\"List\",\"items\":[{{\"metadata\":{{\"name\":\"{name}\"}},\"status\":{{\"conditions\":\
         [{{\"type\":\"Ready\",\"status\":\"True\",\"message\":\"stand-in\"}}]}}}}]}}"
    )
}

fn pods() -> String {
    "{\"kind\":\"List\",\"items\":[{\"metadata\":{\"namespace\":\"kube-system\",\"name\":\"coredns-0\"},\"status\":\
     {\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"coredns\",\"ready\":true,\"restartCount\":0,\"state\":\
     {\"running\":{}}}]}}]}"
        .to_owned()
}
