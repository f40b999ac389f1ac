#!/bin/sh
# Makes the certificates of the tests anew; they are valid for a hundred years and protect nothing.
set -eu
cd "$(dirname "$0")"
days=36500
authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
issue() { # name, extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  printf '%s\n' "$2" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA authority.pem -CAkey authority.key -CAcreateserial -days $days -extfile "$1.ext" -out "$1.pem" 2>/dev/null
  rm "$1.csr" "$1.ext"
}
authority authority
authority stranger
issue server "subjectAltName=DNS:etcd.internal
extendedKeyUsage=serverAuth,clientAuth"
issue client "extendedKeyUsage=clientAuth"
rm -f authority.key stranger.key authority.srl
