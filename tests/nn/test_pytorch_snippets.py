"""PyTorch code, held as text, runs after nothing but its import lines have been exchanged.

The two programs are written as PyTorch's tutorials write them; only their data is handed in.
"""

import contextvars

import numpy as np
import pytest

import fpsim as fp

IMPORTS = {
    "import torch\n": "import fpsim as torch\n",
    "import torch.nn as nn\n": "import fpsim.nn as nn\n",
    "import torch.nn.functional as F\n": "import fpsim.nn.functional as F\n",
    "from torch.autograd import Variable\n": "from fpsim.autograd import Variable\n",
}

TRAINING = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable

torch.manual_seed(0)
use_cuda = torch.cuda.is_available()
device = torch.device("cuda" if use_cuda else "cpu")


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 64, 5)
        self.fc1 = nn.Linear(64 * 5 * 5, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = x.view(-1, 64 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


def train(model, train_loader, optimizer, epoch):
    model.train()
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = Variable(data), Variable(target)
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        if batch_idx % 2 == 0:
            print("Train Epoch: {} [{}/{} ({:.0f}%)]\\tLoss: {:.6f}".format(
                epoch, batch_idx * len(data), len(train_loader.dataset),
                100. * batch_idx / len(train_loader), loss.item()))


def test(model, test_loader):
    model.eval()
    test_loss = 0
    correct = 0
    with torch.no_grad():
        for data, target in test_loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()  # sum up batch loss
            pred = output.argmax(dim=1, keepdim=True)  # get the index of the max log-probability
            correct += pred.eq(target.view_as(pred)).sum().item()
    test_loss /= len(test_loader.dataset)
    print("Test set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)".format(
        test_loss, correct, len(test_loader.dataset), 100. * correct / len(test_loader.dataset)))
    return correct / len(test_loader.dataset)


train_data = torch.utils.data.TensorDataset(torch.tensor(train_x), torch.tensor(train_y, dtype=torch.long))
test_data = torch.utils.data.TensorDataset(torch.from_numpy(test_x), torch.from_numpy(test_y))
train_loader = torch.utils.data.DataLoader(train_data, batch_size=32, shuffle=True, num_workers=1, pin_memory=True)
test_loader = torch.utils.data.DataLoader(test_data, batch_size=100, shuffle=False)

net = Net().to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
before = test(net, test_loader)
for epoch in range(1, 4):
    train(net, train_loader, optimizer, epoch)
    scheduler.step()
after = test(net, test_loader)
"""

MIXED_PRECISION = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable

torch.manual_seed(0)
device = "cuda"

net = nn.Sequential(
    nn.Conv2d(1, 8, kernel_size=3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(inplace=True),
    nn.MaxPool2d(4),
    nn.Flatten(),
    nn.Linear(8 * 8 * 8, 10),
).to(device)
opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
scaler = torch.amp.GradScaler("cuda")

losses, scales, formats = [], [], []
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(train_x), train_y), batch_size=40)
for epoch in range(6):
    for input, target in data:
        input, target = input.to(device, non_blocking=True), target.to(device, non_blocking=True)
        with torch.autocast("cuda", dtype=torch.float16):
            output = net(input)
            loss = F.cross_entropy(output, target)
        scaler.scale(loss).backward()

        # Unscales the gradients of optimizer's assigned parameters in-place
        scaler.unscale_(opt)

        # Since the gradients of optimizer's assigned parameters are now unscaled, clips as usual.
        torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)

        scaler.step(opt)
        scaler.update()
        opt.zero_grad(set_to_none=True)

        losses.append(loss.item())
        scales.append(scaler.get_scale())
        formats.append((output.dtype, loss.dtype, net[0].weight.dtype))

checkpoint = {"model": net.state_dict(), "optimizer": opt.state_dict(), "scaler": scaler.state_dict()}
net.load_state_dict(checkpoint["model"])
opt.load_state_dict(checkpoint["optimizer"])
scaler.load_state_dict(checkpoint["scaler"])
net.eval()
with torch.no_grad(), torch.autocast(device_type=device, dtype=torch.float16):
    accuracy = (net(torch.tensor(train_x)).argmax(dim=1) == train_y).float().mean().item()
"""


@pytest.fixture(scope="module")
def digits():
    train_x, train_y, test_x, test_y = fp.data.digits()
    return {"train_x": train_x[:160], "train_y": train_y[:160], "test_x": test_x[:100], "test_y": test_y[:100]}


def run(program, names):
    """Exchange the import lines, run the program in a context of its own, and return its names."""
    for torchs, ours in IMPORTS.items():
        assert torchs in program
        program = program.replace(torchs, ours)
    assert "import torch" not in program
    names = dict(names)
    contextvars.copy_context().run(exec, compile(program, "snippet", "exec"), names)
    return names


def test_an_ordinary_training_loop_runs_and_learns(digits, capsys):
    names = run(TRAINING, digits)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + 3 * 3
    assert printed[1].startswith("Train Epoch: 1 [0/160 (0%)]\tLoss: 2.3")
    assert printed[-1].startswith("Test set: Average loss: ")
    assert names["after"] > names["before"] + 0.2
    assert names["optimizer"].param_groups[0]["lr"] == pytest.approx(0.05 * 0.7**3)


def test_the_mixed_precision_recipe_runs_and_learns(digits):
    names = run(MIXED_PRECISION, digits)
    assert set(names["formats"]) == {(fp.float16, fp.float32, fp.float32)}
    assert names["losses"][-1] < 0.5 * names["losses"][0]
    assert names["accuracy"] > 0.8
    assert all(np.log2(scale) % 1 == 0 for scale in names["scales"])


def test_a_snippet_repeats_bit_for_bit(digits):
    first, second = (run(MIXED_PRECISION, digits)["losses"] for _ in range(2))
    assert first == second
