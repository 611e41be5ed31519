# What the tests of sending share: a mail server that can be told where to stop,
# and kills and pauses that are certain.
package Mails;
use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Time::HiRes ();

our @EXPORT = qw(mail_server mail_start mail_stop hold held let_go accepted mail_url kill_server pause);

# mail_server(folder or undef): starts mail_server.py on a port of its own.
sub mail_server
{
	my ($folder) = @_;
	my $mail = { port => PostgreSQL::Test::Cluster::get_free_port(), log => PostgreSQL::Test::Utils::tempdir() . '/mails.json', folder => $folder };
	append_to_file($mail->{log}, '');
	mail_start($mail);
	return $mail;
}

sub mail_start
{
	my ($mail) = @_;
	@$mail{qw(in out err)} = ('', '', '');
	$mail->{handle} = IPC::Run::start([ '/usr/bin/python3', dirname(__FILE__) . '/mail_server.py', $mail->{port}, $mail->{log}, $mail->{folder} // () ],
		'<', \$mail->{in}, '>', \$mail->{out}, '2>', \$mail->{err});
	await($mail, sub { $mail->{out} =~ /^ready$/m }) or die "no mail server: $mail->{err}";
	return;
}

# mail_stop(mail, signal): and waits until it is gone.
sub mail_stop
{
	my ($mail, $signal) = @_;
	$mail->{handle}->signal($signal // 'KILL');
	eval { $mail->{handle}->finish };
	return;
}

# hold(mail): the 250 of the next mail will wait.
sub hold
{
	my ($mail) = @_;
	$mail->{out} = '';
	$mail->{in} .= "hold\n";
	return await($mail, sub { $mail->{out} =~ /^holding$/m });
}

# held(mail, seconds): waits for that mail; its Message-ID, or undef if none comes in that time.
sub held
{
	my ($mail, $seconds) = @_;
	my $end = time + ($seconds // 60);
	await($mail, sub { $mail->{out} =~ /^held \S+$/m || time >= $end });
	return $mail->{out} =~ /^held (\S+)$/m ? $1 : undef;
}

# let_go(mail): the 250 that waits is written.
sub let_go
{
	my ($mail) = @_;
	$mail->{in} .= "go\n";
	return await($mail, sub { $mail->{out} =~ /^answered \S+$/m });
}

# accepted(mail): the mails that it accepted, in their order.
sub accepted
{
	my ($mail) = @_;
	return grep { $_->{mail} } map { decode_json($_) } split /\n/, slurp_file($mail->{log});
}

sub mail_url { return "--smtp-url=smtp://127.0.0.1:$_[0]{port}" }

# pause(process id...): stopped, for certain; kill 'CONT' lets it go on.
sub pause
{
	my @pids = @_;
	kill 'STOP', @pids;
	# The signal is only on its way when kill returns.
	for my $pid (@pids)
	{
		for (1 .. 1000)
		{
			last if slurp_file("/proc/$pid/stat") =~ /\) T /;
			Time::HiRes::usleep(1000);
		}
	}
	return;
}

# kill_server(node): the postmaster and all its children at once, and waits until they are gone.
sub kill_server
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @children = split ' ', `ps -o pid= --ppid $postmaster`;
	$node->kill9;
	kill 'KILL', @children;
	for my $pid ($postmaster, @children)
	{
		# a zombie counts as alive: the next server would believe so too
		for (1 .. 1000)
		{
			kill(0, $pid) or last;
			Time::HiRes::usleep(10_000);
		}
	}
	return;
}

1;
