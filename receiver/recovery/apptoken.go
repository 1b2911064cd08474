package recovery

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"time"
)

// GitHubAppToken returns the token for [GitHubApp]. The issuer is the App's
// client ID, or its numeric ID. The key is the PEM file that GitHub's settings
// create. The error wraps [ErrConfig] and contains nothing of the key.
//
// Each token is a JWT that is valid for nine minutes. GitHub permits ten, and
// recommends a time of issue that is 60 seconds in the past
// (docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app).
func GitHubAppToken(issuer string, key []byte) (Token, error) {
	private := parseRSA(key)
	if private == nil || issuer == "" {
		return nil, configError("GitHubAppToken: want the App's client ID and its RSA private key as PEM, as downloaded from the App's settings")
	}
	return func(context.Context) (string, error) {
		now := time.Now()
		claims, err := json.Marshal(map[string]any{"iss": issuer, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix()})
		if err != nil {
			return "", err
		}
		encode := base64.RawURLEncoding.EncodeToString
		signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
		return signed + "." + encode(signature), err
	}, nil
}

// parseRSA returns nil if the text is no PEM file of an RSA private key.
func parseRSA(text []byte) *rsa.PrivateKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key
	}
	key, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, _ := key.(*rsa.PrivateKey)
	return private
}
