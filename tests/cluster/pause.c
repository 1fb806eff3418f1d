/* What keeps a pod's namespaces, and those of the cluster's machines: waits for the signal that ends it
 * and reaps what others left behind.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	while (sigwait(&all, &sig) == 0 && sig != SIGTERM && sig != SIGINT)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	return 0;
}
