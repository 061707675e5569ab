# A stand-in for nixpkgs, so that every output of the project's own flake can be evaluated without a network: the few
# functions that it calls, with the types of the real ones, and derivations that nobody will build.
{
  description = "The part of nixpkgs that Firstlight's flake uses";

  outputs = { self }:
    let
      system = "x86_64-linux";

      lib = rec {
        inherit (builtins) listToAttrs concatMap filter;
        nameValuePair = name: value: { inherit name value; };
        hasSuffix = suffix: text:
          let from = builtins.stringLength text - builtins.stringLength suffix;
          in from >= 0 && builtins.substring from (-1) text == suffix;
        removePrefix = prefix: text:
          let length = builtins.stringLength prefix;
          in if builtins.substring 0 length text == prefix then builtins.substring length (-1) text else text;
        splitString = separator: text: builtins.filter builtins.isString (builtins.split separator text);
        cleanSourceWith = { src, filter }: builtins.path { path = src; name = "source"; inherit filter; };
        licenses.asl20.spdxId = "Apache-2.0";
      };

      # As in nixpkgs every attribute becomes part of the derivation, so each is evaluated; `meta` is not.
      derive = name: arguments: derivation ({
        inherit system name;
        builder = "/bin/sh";
      } // removeAttrs arguments [ "meta" "cargoLock" ]) // { inherit (arguments) meta; };
      tool = name: derive name { meta = { }; };
      named = arguments: "${arguments.pname}-${arguments.version}";

      tools = [
        "cargo"
        "cargo-deny"
        "clippy"
        "dosfstools"
        "e2fsprogs"
        "gptfdisk"
        "iproute2"
        "mmdebstrap"
        "nftables"
        "nixpkgs-fmt"
        "openssl"
        "qemu"
        "rust-analyzer"
        "rustc"
        "rustfmt"
        "shadow"
      ];
    in
    {
      inherit lib;
      legacyPackages.${system} = lib.listToAttrs (map (name: lib.nameValuePair name (tool name)) tools) // {
        glibc = tool "glibc" // { static = tool "glibc-static"; };
        # Reads the lock, as the real one does to fetch every crate: a dependency without a checksum would stop it.
        rustPlatform.buildRustPackage = arguments:
          let
            crates = (builtins.fromTOML (builtins.readFile arguments.cargoLock.lockFile)).package;
            foreign = builtins.filter (crate: crate ? source) crates;
          in
          derive (named arguments) (arguments // {
            cargoDeps = map (crate: "${crate.name}-${crate.version}-${crate.checksum}") foreign;
          });
        stdenvNoCC.mkDerivation = arguments: derive (named arguments) ({ meta = { }; } // arguments);
        runCommand = name: environment: script:
          derive name (environment // { buildCommand = script; meta = { }; });
        mkShell = arguments: derive "shell" (arguments // { meta = { }; });
      };
    };
}
