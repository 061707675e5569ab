#!/bin/sh
# Makes the keys beside this script: kinds that the tests' own library can't make. They protect nothing.
set -eu
cd "$(dirname "$0")"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2048.key
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key
openssl req -x509 -new -key p521.key -sha512 -days 36500 -subj /CN=a.example -addext subjectAltName=DNS:a.example -out p521.crt
