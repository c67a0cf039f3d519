#!/usr/bin/env bash
# Runs the Bicep CLI. The first run restores it from NuGet, which needs `dotnet`. Usage: scripts/bicep.sh ARGS…
set -euo pipefail

project=$(cd "$(dirname "$0")" && pwd)/bicep/bicep.csproj
cache=${BICEP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/azure-secure-push-bicep}

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) runtime=linux-x64 ;;
  Linux-aarch64) runtime=linux-arm64 ;;
  Darwin-x86_64) runtime=osx-x64 ;;
  Darwin-arm64) runtime=osx-arm64 ;;
  *) echo "The Bicep CLI has no package for this machine; install it and put it on the PATH." >&2; exit 1 ;;
esac
version=$(sed -n 's:.*<BicepVersion>\(.*\)</BicepVersion>.*:\1:p' "$project")
cli=$cache/packages/azure.bicep.commandline.$runtime/$version/tools/bicep

if [[ ! -x $cli ]]; then
  command -v dotnet > /dev/null || { echo "The Bicep CLI is restored by dotnet, which is not installed." >&2; exit 1; }
  mkdir -p "$cache/project"
  cp "$project" "$cache/project/"
  DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 dotnet restore "$cache/project/bicep.csproj" \
    --packages "$cache/packages" "-p:BicepRuntime=$runtime" > "$cache/restore.log" 2>&1 ||
    { cat "$cache/restore.log" >&2; exit 1; }
  chmod +x "$cli"
fi
# The CLI formats no text by culture; without this it needs ICU installed.
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
exec "$cli" "$@"
