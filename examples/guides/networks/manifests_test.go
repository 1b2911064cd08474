//go:build unix && (amd64 || arm64)

// Clusters run Linux on these processors. The types of Kubernetes take long to
// compile, so the vet of other systems leaves them out.

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/deployhook/deployhook/examples/guides/internal/guidetest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/signer"
)

// manifests are the objects of receiver.yaml. A field that Kubernetes does not
// know is an error.
type manifests struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
}

func read(t *testing.T) manifests {
	t.Helper()
	text, err := os.ReadFile("receiver.yaml")
	require.NoError(t, err)
	var m manifests
	documents := strings.Split(string(text), "\n---\n")
	objects := []any{&m.deployment, &m.service, &m.budget}
	require.Len(t, documents, len(objects))
	for i, object := range objects {
		require.NoError(t, yaml.UnmarshalStrict([]byte(documents[i]), object))
	}
	return m
}

func TestManifests_AreStrictAndConsistent(t *testing.T) {
	t.Parallel()
	m := read(t)
	require.Equal(t, "apps/v1 Deployment", m.deployment.APIVersion+" "+m.deployment.Kind)
	require.Equal(t, "v1 Service", m.service.APIVersion+" "+m.service.Kind)
	require.Equal(t, "policy/v1 PodDisruptionBudget", m.budget.APIVersion+" "+m.budget.Kind)
	labels := m.deployment.Spec.Template.Labels
	require.NotEmpty(t, labels)
	require.Equal(t, labels, m.deployment.Spec.Selector.MatchLabels)
	require.Equal(t, labels, m.service.Spec.Selector)
	require.Equal(t, labels, m.budget.Spec.Selector.MatchLabels)
	require.Less(t, m.budget.Spec.MinAvailable.IntValue(), int(*m.deployment.Spec.Replicas), "a node could never be drained")

	pod := m.deployment.Spec.Template.Spec
	c := pod.Containers[0]
	require.Equal(t, intstr.FromString(c.Ports[0].Name), m.service.Spec.Ports[0].TargetPort)
	require.True(t, strings.HasSuffix(flagOf(t, c.Args, "-addr"), fmt.Sprint(":", c.Ports[0].ContainerPort)))
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		require.Equal(t, intstr.FromString(c.Ports[0].Name), probe.HTTPGet.Port)
	}
	require.Nil(t, c.Lifecycle, "the drain time is the sleep")

	command := strings.Join(guidetest.Blocks(t, "console"), "")
	for _, v := range c.Env {
		ref := v.ValueFrom.SecretKeyRef
		require.Contains(t, command, "kubectl create secret generic "+ref.Name+" ")
		require.Contains(t, command, "--from-literal="+ref.Key+"=", "the guide's command makes the secret")
	}

	// The rules of the guide. The default of a timeout is a second.
	drain, err := time.ParseDuration(flagOf(t, c.Args, "-drain"))
	require.NoError(t, err)
	ready := c.ReadinessProbe
	notice := seconds(ready.PeriodSeconds)*time.Duration(ready.FailureThreshold) + seconds(max(1, ready.TimeoutSeconds))
	require.Greater(t, drain, notice, "the Service still sends requests when the listener closes")
	require.Greater(t, seconds(int32(*pod.TerminationGracePeriodSeconds)), drain+service.DefaultStopTimeout, "handlers are killed")
	require.Greater(t, seconds(ready.TimeoutSeconds), service.DefaultCheckTimeout, "a check may take that long")
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func flagOf(t *testing.T, args []string, name string) string {
	t.Helper()
	i := slices.Index(args, name)
	require.GreaterOrEqual(t, i, 0)
	return args[i+1]
}

// examples/receiver, the program of the image, does what the guide says.
func TestReceiver(t *testing.T) {
	t.Parallel()
	program := build(t)
	t.Run("ProbesAndDrain", func(t *testing.T) {
		t.Parallel()
		checkProbesAndDrain(t, program)
	})
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		checkPgBouncer(t, program)
	})
}

// checkProbesAndDrain runs the container of receiver.yaml: the arguments, the
// variables and the probes. Deliveries succeed during the drain time, which is
// so long here that no slow machine gets to its end. A second signal ends it.
func checkProbesAndDrain(t *testing.T, program string) {
	m := read(t)
	pod := m.deployment.Spec.Template.Spec
	c := pod.Containers[0]
	secret := signer.GenerateSecret()
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	values := map[string]string{"secret": secret.Reveal(), "store": "sqlite:" + filepath.Join(t.TempDir(), "receiver.db")}
	args := replaced(c.Args, "0.0.0.0:8080", "127.0.0.1:"+guidetest.Port(t))
	cmd := exec.Command(program, replaced(args, flagOf(t, args, "-drain"), "1h")...)
	for _, v := range c.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+values[v.ValueFrom.SecretKeyRef.Key])
	}
	base := "http://" + flagOf(t, cmd.Args, "-addr")
	output := launch(t, cmd)

	require.Eventually(t, func() bool { return probe(t, base, c.StartupProbe) }, guidetest.Patience, 100*time.Millisecond, output)
	require.True(t, probe(t, base, c.LivenessProbe))
	require.True(t, probe(t, base, c.ReadinessProbe))
	require.Equal(t, http.StatusOK, deliver(t, base, scheme))

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return !probe(t, base, c.ReadinessProbe) }, guidetest.Patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, deliver(t, base, scheme), "the process serves while it drains")
	require.True(t, probe(t, base, c.LivenessProbe), "a restart would cut the drain short")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait(), output)
}

// checkPgBouncer runs the receiver through PgBouncer. It works with the
// parameter of the guide, and names it otherwise.
func checkPgBouncer(t *testing.T, program string) {
	text, err := os.ReadFile("pgbouncer.ini")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "[pgbouncer]\n")
	require.True(t, ok)
	require.Contains(t, section, "pool_mode = transaction\n")
	var settings []string // all but the address and the accounts, which the test has
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "listen_") && !strings.HasPrefix(line, "auth_") {
			settings = append(settings, strings.TrimSpace(line))
		}
	}
	pooler := servicetest.StartPgBouncer(t, servicetest.StartPostgres(t), settings...)
	const variable = "DEPLOYHOOK_STORE=postgres://service@pgbouncer:6432/app?"
	line, _, _ := strings.Cut(strings.Join(guidetest.Blocks(t, "sh"), ""), "\n")
	require.True(t, strings.HasPrefix(line, variable))
	parameter := strings.TrimPrefix(line, variable)
	for _, test := range []struct {
		parameter string
		starts    bool
	}{{"", false}, {parameter, true}} {
		u, err := url.Parse(pooler.URL())
		require.NoError(t, err)
		u.RawQuery = strings.Trim(u.RawQuery+"&"+test.parameter, "&")
		cmd := exec.Command(program, "-addr", "127.0.0.1:"+guidetest.Port(t), "-drain", "0")
		cmd.Env = []string{"DEPLOYHOOK_STORE=" + u.String(), "DEPLOYHOOK_SECRET=" + signer.GenerateSecret().Reveal()}
		output := launch(t, cmd)
		if !test.starts {
			require.Error(t, cmd.Wait())
			text, err := os.ReadFile(output)
			require.NoError(t, err)
			require.Contains(t, string(text), "default_query_exec_mode")
			continue
		}
		ready := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz"}}}
		require.Eventually(t, func() bool { return probe(t, "http://"+flagOf(t, cmd.Args, "-addr"), ready) }, guidetest.Patience, 50*time.Millisecond)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait())
	}
}

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "receiver.exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../receiver").CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// launch starts the program, with its output in a file.
func launch(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return file.Name()
}

func replaced(args []string, from, to string) []string {
	out := slices.Clone(args)
	out[slices.Index(out, from)] = to
	return out
}

// probe asks as the kubelet does: a status from 200 to 399 is a success.
func probe(t *testing.T, base string, p *corev1.Probe) bool {
	ctx, cancel := context.WithTimeout(t.Context(), guidetest.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+p.HTTPGet.Path, http.NoBody)
	require.NoError(t, err)
	code := status(r)
	return code >= 200 && code < 400
}

func deliver(t *testing.T, base string, s signer.Signer) int {
	id := payload.NewDeliveryID()
	body := `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"` + id + `","app":"shop","environment":"production"}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/webhooks/deploy", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, s.Sign(t.Context(), r, id, time.Now(), []byte(body)))
	return status(r)
}

// status is 0 if there was no answer.
func status(r *http.Request) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
