#!/usr/bin/perl
# A third runtime of the kernel protocol, written from docs/kernel-protocol.md alone: one process, Perl's own modules, tasks of type
# "command". It serves a pool in lies_spec.lua. An argument makes it lie in one way: `kernel.pl garbage`.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(WNOHANG setsid);

my $lie = $ARGV[0] // '';
my $json = JSON::PP->new->utf8->canonical;
my $id = $ENV{DSS_KERNEL_ID};
open(my $pipe, '<&=', $ENV{DSS_KERNEL_SECRETS_FD}) or die "secrets: $!";
my $secrets = decode_json(do { local $/; <$pipe> });
close $pipe;
my ($back_host, $back_port) = $ENV{DSS_BACKEND_URL} =~ m{^http://([^:/]+):(\d+)} or die "no backend";
my ($host, $port) = ($ENV{DSS_KERNEL_LISTEN} // '127.0.0.1:0') =~ /^(.*):(\d+)$/;
my $listen = IO::Socket::INET->new(LocalAddr => $host, LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "listen: $@";
my $url = "http://$host:" . $listen->sockport;

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = $lie eq 'deaf' ? 'IGNORE' : sub { exit 0 };

my $task;            # the one task: { id, attempt, version, state, result, error, pid }
my %seen;            # attempts that were taken: each runs at most once
my $version = 0;
my @waiting;         # parked requests: { conn, until, seen }
my %buffers;
my $select = IO::Select->new($listen);

# --- what we say ---

# One POST to the backend; the status, 0 where nobody answered.
sub say_to_backend {
    my ($path, $body, $token) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => $back_host, PeerPort => $back_port, Timeout => 10) or return 0;
    my $text = $json->encode($body);
    print $s "POST $path HTTP/1.1\r\nHost: $back_host:$back_port\r\nAuthorization: Bearer " . ($token // $secrets->{kernelToken}) .
        "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
    my $line = <$s>;
    close $s;
    return defined $line && $line =~ m{^HTTP/1\.\d (\d+)} ? $1 : 0;
}

sub ready { my %o = @_; return say_to_backend('/kernel/v1/ready', { kernelId => $id, url => $url, pid => $$, protocol => 1, types => ['command'], %o }) }

sub report { my $text = shift; print STDERR "said: $text\n" }

sub announce {
    exit 7 if $lie eq 'leaver';
    return if $lie eq 'mute';
    if ($lie eq 'stranger') {
        report 'as another ' . ready(kernelId => 'nobody-1');
        report 'with a false token ' . say_to_backend('/kernel/v1/ready', { kernelId => $id, url => $url, pid => $$, protocol => 1 }, 'x' x 64);
        report 'an event of a task it has not ' . say_to_backend('/kernel/v1/event', { kernelId => $id, taskId => 'other', attempt => 1, progress => 0.5 });
    }
    if ($lie eq 'mover') {
        for my $bad ('http://10.1.2.3:4000', 'https://127.0.0.1:4000', 'http://127.0.0.1:80', "http://127.0.0.1:4000/x", 'http://localhost:4000', 7, '') {
            report "url $bad " . ready(url => $bad);
        }
        report 'protocol 2 ' . ready(protocol => 2);
    }
    $url = "http://127.0.0.1:$back_port" if $lie eq 'pointer';       # a port that others serve
    my $pause = 0.05;
    while (ready() != 200) {
        select undef, undef, undef, $pause;
        $pause = $pause < 2 ? 2 * $pause : 2;
    }
    if ($lie eq 'twice') {
        report 'again ' . ready();
        report 'elsewhere ' . ready(url => 'http://127.0.0.1:4001');
    }
}

# --- what we answer ---

sub send_raw { my ($c, $text) = @_; print $c $text; $c->flush }

sub answer {
    my ($c, $status, $body) = @_;
    my $text = ref $body ? $json->encode($body) : $body;
    send_raw($c, "HTTP/1.1 $status X\r\nContent-Type: application/json\r\nContent-Length: " . length($text) . "\r\n\r\n$text");
}

sub state_of {
    my %s = (taskId => $task->{id}, attempt => $task->{attempt}, version => $task->{version}, state => $task->{state});
    $s{error} = $task->{error} if $task->{error};
    if ($task->{result}) {
        my $text = $json->encode($task->{result});
        $s{resultBytes} = length $text;
        $s{result} = $task->{result} unless $lie eq 'spoiler';
    }
    $s{taskId} = 'another' if $lie eq 'mixer';
    $s{state} = 'sleeping' if $lie eq 'dreamer';
    return \%s;
}

sub change {
    my ($state) = @_;
    $task->{state} = $state;
    $task->{version} = ++$version;
    answer($_->{conn}, 200, state_of()) for splice @waiting;
}

sub start {
    my $p = $task->{payload};
    my $pid = fork;
    return change_to_error("fork: $!") unless defined $pid;
    if (!$pid) {
        setsid;
        chdir($p->{cwd} // '/') or exit 126;
        $ENV{$_} = $p->{env}{$_} for keys %{ $p->{env} // {} };
        exec { $p->{argv}[0] } @{ $p->{argv} } or exit 127;
    }
    $task->{pid} = $pid;
    change('running');
}

sub change_to_error { my $m = shift; $task->{error} = { clazz => 'Error', message => $m, stack => '' }; change('failed') }

# Lies about a task; true: answered (or not, as the lie wants).
my %task_lies = (
    garbage => sub { answer($_[0], 200, 'this is {no] json'); 1 },
    noise   => sub { send_raw($_[0], "\0\1\2 what?\r\n\r\n" x 3); drop($_[0]); 1 },
    half    => sub { send_raw($_[0], "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"state\":"); drop($_[0]); 1 },
    silent  => sub { 1 },
    flood   => sub {
        my $c = shift;
        send_raw($c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        my $block = '10000' . "\r\n" . ('x' x 65536) . "\r\n";
        for (1 .. 100000) { print $c $block or last }
        drop($c);
        1;
    },
    teapot  => sub { answer($_[0], 418, {}); 1 },
    denier  => sub { answer($_[0], 401, {}); 1 },
    busy    => sub { answer($_[0], 409, { error => { clazz => 'Busy', message => 'with another', stack => '' } }); 1 },
    picky   => sub { answer($_[0], 400, { error => { clazz => 'BadPayload', message => 'argv[0] is no program I like', stack => '' } }); 1 },
    dying   => sub { send_raw($_[0], "HTTP/1.1 202 Acc"); kill KILL => $$; 1 },
);

sub take_task {
    my ($c, $body) = @_;
    return if $task_lies{$lie} && $task_lies{$lie}->($c);
    my $t = eval { decode_json($body) };
    return answer($c, 400, { error => { clazz => 'BadRequest', message => 'no JSON', stack => '' } }) unless ref $t eq 'HASH';
    my $argv = ref $t->{payload} eq 'HASH' ? $t->{payload}{argv} : undef;
    return answer($c, 400, { error => { clazz => 'BadPayload', message => 'argv is missing', stack => '' } })
        unless ($t->{type} // '') eq 'command' && ref $argv eq 'ARRAY' && @$argv;
    my $key = "$t->{taskId}/$t->{attempt}";
    if ($task && "$task->{id}/$task->{attempt}" eq $key) { return answer($c, 202, {}) }
    return answer($c, 409, { error => { clazz => $seen{$key} ? 'Forgotten' : 'Busy', message => 'not now', stack => '' } })
        if $seen{$key} || ($task && $task->{state} eq 'running');
    $seen{$key} = 1;
    $task = { id => $t->{taskId}, attempt => $t->{attempt}, payload => $t->{payload}, state => 'running', version => ++$version };
    start();
    answer($c, 202, {});
    $task = undef if $lie eq 'forgetter';
}

sub show_task {
    my ($c, $wanted, $query) = @_;
    return if $lie eq 'silent';
    return noise_again($c) if $lie eq 'noise' || $lie eq 'half';
    return answer($c, 404, { error => { clazz => 'NotFound', message => 'never heard of it', stack => '' } }) unless $task && $task->{id} eq $wanted;
    my ($wait) = $query =~ /(?:^|&)wait=(\d+)/;
    my ($seen) = $query =~ /(?:^|&)seen=(\d+)/;
    return answer($c, 200, state_of()) if !$wait || !defined $seen || $seen != $task->{version};
    push @waiting, { conn => $c, until => time + $wait };
}

sub noise_again { $task_lies{$lie}->($_[0]) }

sub forget_task {
    my ($c, $wanted) = @_;
    return answer($c, 404, {}) unless $task && $task->{id} eq $wanted;
    if ($task->{state} eq 'running') {
        $task->{is_aborted} = 1;
        kill TERM => -$task->{pid} unless $lie eq 'silent';
        return answer($c, 202, {});
    }
    answer($c, 202, {});
    $task = undef;
}

sub route {
    my ($c, $method, $target, $head, $body) = @_;
    my ($path, $query) = split /\?/, $target, 2;
    $query //= '';
    if ($path eq '/health') {
        my ($nonce) = $query =~ /nonce=([^&]*)/;
        my $proof = hmac_sha256_hex($nonce // '', $lie eq 'impostor' ? 'wrong' : $secrets->{taskToken});
        my $busy = $task && $task->{state} eq 'running';
        return answer($c, 200, { state => $busy ? 'busy' : 'idle', proof => $proof, $task ? (taskId => $task->{id}) : () });
    }
    return answer($c, 401, {}) unless $head =~ /^authorization:\s*bearer\s+\Q$secrets->{taskToken}\E\s*$/mi;
    return take_task($c, $body) if $method eq 'POST' && $path eq '/task';
    if ($method eq 'POST' && $path eq '/shutdown') { answer($c, 202, {}); exit 0 }
    if ($path =~ m{^/task/([^/]+)/result$}) {
        return answer($c, 200, '{"never": "closed') if $lie eq 'spoiler';
        return answer($c, 200, $task->{result}) if $task && $task->{result};
    } elsif ($path =~ m{^/task/([^/]+)$}) {
        return show_task($c, $1, $query) if $method eq 'GET';
        return forget_task($c, $1) if $method eq 'DELETE';
    }
    answer($c, 404, {});
}

# --- the loop ---

sub drop { my $c = shift; $select->remove($c); delete $buffers{$c}; @waiting = grep { $_->{conn} != $c } @waiting; close $c }

sub read_from {
    my $c = shift;
    my $n = sysread $c, $buffers{$c}, 65536, length($buffers{$c} // '');
    return drop($c) unless $n;
    while (defined $buffers{$c} && $buffers{$c} =~ /^(\S+) (\S+) HTTP\/1\.[01]\r\n(.*?)\r\n\r\n/s) {
        my ($method, $target, $head, $end) = ($1, $2, $3, $+[0]);
        my ($len) = $head =~ /^content-length:\s*(\d+)/mi;
        last if length($buffers{$c}) < $end + ($len // 0);
        my $body = substr $buffers{$c}, $end, $len // 0;
        substr($buffers{$c}, 0, $end + ($len // 0)) = '';
        route($c, $method, $target, $head, $body);
    }
}

sub look_after_child {
    return unless $task && $task->{pid} && $task->{state} eq 'running' && waitpid($task->{pid}, WNOHANG) == $task->{pid};
    my ($code, $signal) = ($? >> 8, $? & 127);
    return if $lie eq 'silent';
    $task->{result} = { code => $signal ? -1 : $code, signal => $signal } unless $task->{is_aborted};
    change($task->{is_aborted} ? 'aborted' : 'done');
}

announce();
while (1) {
    for my $s ($select->can_read(0.02)) {
        if ($s == $listen) {
            my $c = $listen->accept or next;
            $c->autoflush(1);
            $buffers{$c} = '';
            $select->add($c);
        } else {
            read_from($s);
        }
    }
    look_after_child();
    my $now = time;
    my @over = grep { $_->{until} <= $now } @waiting;
    @waiting = grep { $_->{until} > $now } @waiting;
    answer($_->{conn}, 200, state_of()) for @over;
}
