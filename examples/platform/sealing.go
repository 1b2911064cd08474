package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/deployhook/deployhook/sender/outbox"
)

// The sealing key comes from the environment. With a SQLite file it may be
// missing. The platform then keeps a key next to the file and logs a warning,
// because that only protects copies of the database. It never makes a new key
// for a database that already has one.
const keyFile = "sealing.key"

func sealingKeys(o *options, getenv func(string) string, logger *slog.Logger) (current outbox.SealingKey, previous []outbox.SealingKey, err error) {
	text := getenv("PLATFORM_SEALING_KEY")
	if text == "" {
		if text, err = localKey(o, logger); err != nil {
			return outbox.SealingKey{}, nil, err
		}
	}
	if current, err = sealingKey(text); err != nil {
		return outbox.SealingKey{}, nil, fmt.Errorf("PLATFORM_SEALING_KEY: %w", err)
	}
	if text := getenv("PLATFORM_SEALING_KEY_PREVIOUS"); text != "" {
		key, err := sealingKey(text)
		if err != nil {
			return outbox.SealingKey{}, nil, fmt.Errorf("PLATFORM_SEALING_KEY_PREVIOUS: %w", err)
		}
		previous = append(previous, key)
	}
	return current, previous, nil
}

// sealingKey names a key by its hash, so different keys have different names.
func sealingKey(text string) (outbox.SealingKey, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != 32 {
		return outbox.SealingKey{}, errors.New("want 32 bytes in base64; make them with: openssl rand -base64 32")
	}
	sum := sha256.Sum256(append([]byte("deployhook platform sealing key "), raw...))
	return outbox.NewSealingKey(hex.EncodeToString(sum[:6]), raw)
}

func localKey(o *options, logger *slog.Logger) (string, error) {
	if o.database != "" {
		return "", errors.New("PLATFORM_SEALING_KEY is not set; PostgreSQL requires it, because the database may outlive this folder; make a key with: openssl rand -base64 32")
	}
	path := filepath.Join(o.data, keyFile)
	text, err := os.ReadFile(path)
	if err == nil {
		logger.Warn("PLATFORM_SEALING_KEY is not set; using the key file next to the database, which only protects copies of the database", "file", path)
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(databaseFile(o)); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s exists but %s is missing; the customers' data can't be read without the key it was sealed with; restore the file or set PLATFORM_SEALING_KEY", databaseFile(o), path)
	}
	return newLocalKey(path, logger)
}

func newLocalKey(path string, logger *slog.Logger) (string, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	text := base64.StdEncoding.EncodeToString(raw)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(text + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", err
	}
	logger.Warn("PLATFORM_SEALING_KEY is not set; made a key and saved it next to the database; keep it, because nothing can be read without it", "file", path)
	return text, nil
}

func databaseFile(o *options) string { return filepath.Join(o.data, "platform.db") }
