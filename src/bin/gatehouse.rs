//! The operator's command and the proxy itself.

fn main() -> std::process::ExitCode {
    gatehouse::command::main()
}
