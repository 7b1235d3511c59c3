package engine

import (
	"context"
	"fmt"
	"os"

	"carrel/engine/sif"
)

// Signature is what a signature in a SIF says, and whose it is.
type Signature = sif.Signature

// Why a signature is not accepted; see package sif.
var (
	ErrNotSigned = sif.ErrNotSigned
	ErrOtherKey  = sif.ErrOtherKey
)

// Signatures tells what the signatures in a SIF say: with which keys they were made, which parts they cover. Nothing of it is
// examined; VerifySigned does.
func (e *Engine) Signatures(ctx context.Context, name string) ([]Signature, error) {
	m, err := e.openSIF(ctx, name)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Signatures()
}

// VerifySigned tells which signatures of a SIF were made with the public key in a file (PEM, or a key or keyring of OpenPGP), and
// compares all that they cover with what is there. An error wraps ErrNotSigned when there is none, or a part of the image is
// covered by none, and ErrOtherKey when none was made with that key.
func (e *Engine) VerifySigned(ctx context.Context, name, keyFile string) ([]Signature, error) {
	f, err := os.Open(e.expand(keyFile))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	keys, err := sif.ReadKeys(f)
	f.Close()
	if err != nil {
		return nil, &sif.Error{Op: "read key", Path: keyFile, Err: err}
	}
	m, err := e.openSIF(ctx, name)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.VerifySignatures(ctx, keys)
}
