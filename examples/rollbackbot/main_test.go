package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/programtest"
)

const asProgram = "DEPLOYHOOK_TEST_AS_ROLLBACKBOT"

// The test binary becomes the program if an environment variable says so.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		os.Exit(0)
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}

// startBot runs the bot with its data in dir.
func startBot(t *testing.T, dir string, env []string, args ...string) *programtest.Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-drain", "0", "-data", dir, "-interval", "20ms"}, args...)...)
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	cmd.Dir = dir
	return programtest.Start(t, cmd)
}
