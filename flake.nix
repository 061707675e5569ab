{
  description = "Builds bootable appliance images from one recipe";

  # Needs a Rust toolchain of at least the version in Cargo.toml.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs = { self, nixpkgs }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (nixpkgs) lib;

      workspace = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).workspace.package;

      # Only what a build reads: a changed test script or document rebuilds nothing.
      source = lib.cleanSourceWith {
        src = ./.;
        filter = path: _type:
          let top = lib.removePrefix (toString ./. + "/") (toString path);
          in builtins.elem (builtins.head (lib.splitString "/" top)) [
            "Cargo.lock"
            "Cargo.toml"
            "builder"
            "firmware-checks"
            "overlays"
            "recipes"
            "rustfmt.toml"
            "tests"
          ];
      };

      common = {
        inherit (workspace) version;
        src = source;
        cargoLock.lockFile = ./Cargo.lock;
        # The tests need root, namespaces and host tools; ./make.sh test runs them.
        doCheck = false;
        meta.license = lib.licenses.asl20;
      };

      # Static, so that it runs in the image of every distribution.
      firmware-checks = pkgs.rustPlatform.buildRustPackage (common // {
        pname = "firmware-checks";
        cargoBuildFlags = [ "--package" "firmware-checks" ];
        buildInputs = [ pkgs.glibc.static ];
        RUSTFLAGS = "-C target-feature=+crt-static";
      });

      firstlight = pkgs.rustPlatform.buildRustPackage (common // {
        pname = "firstlight";
        cargoBuildFlags = [ "--package" "firstlight" ];
        postInstall = ''
          mkdir -p $out/share/firstlight
          cp -r overlays recipes $out/share/firstlight/
          install -D -m 0755 -t $out/libexec/firstlight/x86_64-unknown-linux-gnu ${firmware-checks}/bin/firmware-checks
        '';
      });

      # NAME-BASE for each recipe and each base that it supports and whose programs this system runs by itself.
      images = lib.listToAttrs (lib.concatMap imagesOf recipes);
      recipes = lib.filter (lib.hasSuffix ".toml") (builtins.attrNames (builtins.readDir ./recipes));
      imagesOf = file:
        let recipe = builtins.fromTOML (builtins.readFile (./recipes + "/${file}"));
        in map (base: lib.nameValuePair "${recipe.name}-${base}" (image file recipe base)) (lib.filter isNative recipe.bases);
      isNative = base:
        let base' = builtins.fromTOML (builtins.readFile (./recipes/bases + "/${base}.toml"));
        in builtins.elem base'.architecture [ "amd64" "x86_64" ];

      # Nothing pins its packages, so the archive must be asked: an impure derivation, whose result Nix never takes for
      # that of another day. Needs the features `impure-derivations`, `ca-derivations`, `auto-allocate-uids` and `cgroups`;
      # the last two give the sandbox the range of user ids that an image's files belong to.
      image = file: recipe: base: pkgs.stdenvNoCC.mkDerivation {
        pname = "${recipe.name}-${base}";
        inherit (recipe) version;
        __impure = true;
        requiredSystemFeatures = [ "uid-range" ];
        nativeBuildInputs = [ firstlight ];
        dontUnpack = true;
        buildPhase = ''
          runHook preBuild
          export HOME=$TMPDIR
          firstlight build ${firstlight}/share/firstlight/recipes/${file} --base ${base} --out $out --cache $TMPDIR/cache
          runHook postBuild
        '';
        dontInstall = true;
        dontFixup = true;
      };
    in
    {
      packages.${system} = {
        inherit firstlight firmware-checks;
        default = firstlight;
      };

      images.${system} = images;

      checks.${system} = {
        package = firstlight;
        format = pkgs.runCommand "firstlight-format" { nativeBuildInputs = [ pkgs.cargo pkgs.rustfmt ]; } ''
          cd ${source}
          cargo fmt --all --check
          touch $out
        '';
        recipes = pkgs.runCommand "firstlight-recipes" { nativeBuildInputs = [ firstlight ]; } ''
          for recipe in ${firstlight}/share/firstlight/recipes/*.toml; do firstlight check "$recipe"; done
          touch $out
        '';
      };

      devShells.${system}.default = pkgs.mkShell {
        packages = with pkgs; [
          cargo
          cargo-deny
          clippy
          dosfstools
          e2fsprogs
          gptfdisk
          iproute2
          mmdebstrap
          nftables
          openssl
          qemu
          rust-analyzer
          rustc
          rustfmt
          shadow
        ];
      };

      formatter.${system} = pkgs.nixpkgs-fmt;
    };
}
