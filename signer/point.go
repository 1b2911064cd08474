package signer

import (
	"crypto"
	"crypto/ed25519"
	"math/big"
	"slices"
)

// checkPublic refuses a public key that no honest owner has. Package ed25519
// itself notices a key that is no point of the curve at the first verification
// only. It accepts points of low order, for which anyone can make signatures
// without a private key.
//
// A public key is not secret, so nothing here needs constant time.
func checkPublic(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return secretError("an Ed25519 public key of %d bytes; want %d", len(key), ed25519.PublicKeySize)
	}
	c := newCurve()
	xx, yy, ok := c.decode(key)
	if !ok {
		return secretError("not an Ed25519 public key: no point of the curve has this encoding; was it cut off, altered or encoded twice?")
	}
	// The points whose order divides two have a zero x, and those of order four
	// a zero y. A point doubles to one of order four if x² + y² is zero.
	if xx.Sign() == 0 || yy.Sign() == 0 || new(big.Int).Add(xx, yy).Cmp(c.p) == 0 {
		return secretError("an Ed25519 public key of low order, for which anyone can sign; take the key of a key pair")
	}
	return nil
}

// checkPrivate refuses a key in memory on which package ed25519 would panic. It
// also refuses a key whose halves do not belong together, because a signature
// by such a key gives the private half away.
func checkPrivate(key crypto.Signer) error {
	private, ok := key.(ed25519.PrivateKey)
	if pointer, isPointer := key.(*ed25519.PrivateKey); isPointer {
		private, ok = *pointer, true
	}
	switch {
	case !ok:
		return nil
	case len(private) != ed25519.PrivateKeySize:
		return secretError("an ed25519.PrivateKey of %d bytes; want %d", len(private), ed25519.PrivateKeySize)
	case !private.Equal(ed25519.NewKeyFromSeed(private.Seed())):
		return secretError("the public half of this ed25519.PrivateKey does not belong to its seed")
	}
	return nil
}

// curve is edwards25519, -x² + y² = 1 + dx²y² modulo p. RFC 8032, section 5.1.
type curve struct{ p, d *big.Int }

func newCurve() curve {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	p.Sub(p, big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	return curve{p, d.Mod(d.Mul(d, big.NewInt(-121665)), p)}
}

func (c curve) mul(factors ...*big.Int) *big.Int {
	product := big.NewInt(1)
	for _, f := range factors {
		product.Mod(product.Mul(product, f), c.p)
	}
	return product
}

// decode returns the squares of a point's coordinates, from its one encoding.
// RFC 8032, section 5.1.3. It ignores the sign of x, because a point and its
// negative have the same order. The denominator is never zero on this curve.
func (c curve) decode(key ed25519.PublicKey) (xx, yy *big.Int, ok bool) {
	encoded := slices.Clone(key)
	slices.Reverse(encoded)
	encoded[0] &= 0x7f
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(c.p) >= 0 {
		return nil, nil, false
	}
	one := big.NewInt(1)
	yy = c.mul(y, y)
	denominator := c.mul(c.d, yy)
	denominator.ModInverse(denominator.Add(denominator, one), c.p)
	xx = c.mul(new(big.Int).Sub(yy, one), denominator)
	return xx, yy, big.Jacobi(xx, c.p) >= 0
}
