# System calls that a sandboxed RUN may make. build.rs compiles this to BPF, for the machine's architecture and for the
# 32-bit one that the same kernel runs (i386 on x86-64, arm on aarch64); a name that an architecture lacks is left out.
#
# The meaning is that of Docker's default profile for a container with Docker's default capabilities: what needs a
# capability that is not among them (mount, bpf, setns, reboot, ...) is absent here. What is absent answers EPERM, and
# a number higher than all known ones ENOSYS, so that programs newer than this list fall back as on an older kernel.
#
#   allow NAME...                          without condition
#   allow NAME when argN OP VALUE          OP is ==, < or >; the argument's low 32 bits, which is all the kernel uses
#   allow NAME when argN & MASK == VALUE
#   errno CODE NAME...                     always fails with that number

# Files: opening, reading, writing, mapping, moving.
allow access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
allow fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
allow fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
allow getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat
allow name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
allow readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64
allow statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
allow utimensat_time64 utimes vmsplice write writev chroot cachestat listmount statmount

# Extended attributes.
allow fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
allow lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat

# Waiting for files: select, poll, epoll, inotify, events, asynchronous I/O. (No io_uring: it goes round this filter.)
allow epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
allow eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
allow io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pipe pipe2 poll ppoll ppoll_time64
allow pselect6 pselect6_time64 select signalfd signalfd4

# Memory.
allow brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
allow mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages

# Processes, threads and their synchronisation.
allow capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
allow futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage
allow getsid gettid ioprio_get ioprio_set kill membarrier pause pidfd_open pidfd_send_signal prctl prlimit64
allow process_vm_readv process_vm_writev ptrace restart_syscall rseq sched_get_priority_max sched_get_priority_min
allow sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
allow sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
allow seccomp set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid tgkill tkill
allow ugetrlimit uretprobe vfork wait4 waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self

# Signals.
allow rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
allow rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn

# Identity.
allow getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
allow getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
allow setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32

# Time.
allow adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
allow clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
allow timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
allow timerfd_gettime64 timerfd_settime timerfd_settime64 times

# Sockets. Two families are refused: AF_ALG (38), a large attack surface in the kernel, and AF_VSOCK (40), which is not
# separated by network namespaces.
allow accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
allow recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
allow socket when arg0 < 38
allow socket when arg0 == 39
allow socket when arg0 > 40

# System V and POSIX inter-process communication.
allow ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
allow mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget

# The system.
allow getrandom sysinfo uname

# Execution domains: Linux, Linux with 32-bit addresses randomised as usual, and the query.
allow personality when arg0 == 0x0
allow personality when arg0 == 0x8
allow personality when arg0 == 0x20000
allow personality when arg0 == 0x20008
allow personality when arg0 == 0xffffffff

# Parts of an architecture.
allow arch_prctl modify_ldt
allow arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls

# New processes, but in no new namespace (CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET). The flags of
# clone3 are behind a pointer where no filter can look: libraries fall back to clone when it is missing.
allow clone when arg0 & 0x7e020000 == 0
errno ENOSYS clone3
