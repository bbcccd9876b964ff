//! Servers of this machine: found, started on a folder and a port of their own, stopped afterwards.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program of this name: where the variable points to, or else in `PATH` and where Debian puts daemons.
pub fn find(variable: &str, program: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The first line that the program prints about its version.
pub fn version(program: Option<PathBuf>, argument: &str) -> String {
    let output = program.and_then(|path| Command::new(path).arg(argument).output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let first = text.as_deref().and_then(|text| text.lines().next());
    first.unwrap_or("not installed").to_owned()
}

pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts it with the arguments that `arguments` makes of the port, and waits until it listens.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        dir: &Path,
        arguments: impl FnOnce(u16) -> Result<Vec<A>>,
    ) -> Result<Self> {
        // Free a moment ago; whoever takes it in between makes the server fail, which is noticed.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let log = std::fs::File::create(dir.join("server.log"))?;
        let child = Command::new(program)
            .args(arguments(port)?)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
                bail!("{} does not listen: {log}", program.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub fn connect(&self) -> Result<Wire> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Wire {
            input: BufReader::with_capacity(1 << 16, stream.try_clone()?),
            output: BufWriter::with_capacity(1 << 16, stream),
            line: Vec::new(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its folder goes too, so there is nothing that it should do before it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that speaks lines and counted bytes, as all three protocols do.
pub struct Wire {
    input: BufReader<TcpStream>,
    pub output: BufWriter<TcpStream>,
    line: Vec<u8>,
}

impl Wire {
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.output.write_all(bytes)?)
    }

    pub fn flush(&mut self) -> Result<()> {
        Ok(self.output.flush()?)
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> Result<&str> {
        self.line.clear();
        self.input
            .read_until(b'\n', &mut self.line)
            .context("wait for an answer")?;
        let Some(line) = self.line.strip_suffix(b"\r\n") else {
            bail!("the server has closed the connection");
        };
        Ok(std::str::from_utf8(line)?)
    }

    /// So many bytes, and the line end behind them, which is not kept.
    pub fn bytes(&mut self, length: usize, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(length + 2, 0);
        self.input.read_exact(buffer)?;
        buffer.truncate(length);
        Ok(())
    }
}
